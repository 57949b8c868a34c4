"""Two replicas of a picker: one leads, the other takes over."""

from __future__ import annotations

import time

from tests.kubernetes.admin import Admin, eventually
from tests.kubernetes.conftest import Cluster
from tests.kubernetes.pickers import PickerProcess, picker

from signalbox.cluster import Terms, lease_name

ELECTION = "--ha-enable-leader-election"


def holder(admin: Admin) -> str:
    """Who holds the lease."""
    lease = admin.request("GET", admin.path("Lease", lease_name(admin.namespace, "pool")))
    return str(lease["spec"]["holderIdentity"])


def ready(*pickers: PickerProcess) -> list[bool]:
    """Which of them are ready for requests."""
    return [epp.serving() for epp in pickers]


def test_the_leader_is_ready_and_the_other_warm_and_takes_over_when_it_is_stopped(
    cluster: Cluster, admin: Admin
) -> None:
    admin.pool()
    admin.pod("a", "10.1.0.1")
    with (
        picker(cluster.kubeconfig, admin.namespace, ELECTION) as first,
        picker(cluster.kubeconfig, admin.namespace, ELECTION) as second,
    ):
        eventually(lambda: sum(ready(first, second)) == 1, "one of the two is ready")
        leader, other = (first, second) if first.serving() else (second, first)
        assert other.serving("liveness")
        assert not other.serving("envoy.service.ext_proc.v3.ExternalProcessor")
        assert (leader.metric("signalbox_leader"), other.metric("signalbox_leader")) == (1, 0)
        eventually(lambda: other.addresses() == ["10.1.0.1:8000"], "the other knows the pool too")
        assert not other.serving()
        stopped = time.monotonic()
        assert leader.terminate() == 0
        eventually(other.serving, "the other is ready")
        assert time.monotonic() - stopped < Terms().lease  # it did not have to wait for the lease to run out
        assert leader.said("lease given up")


def test_a_leader_that_crashes_is_followed_once_its_lease_stood_still_for_its_time(
    cluster: Cluster, admin: Admin
) -> None:
    admin.pool()
    with (
        picker(cluster.kubeconfig, admin.namespace, ELECTION) as first,
        picker(cluster.kubeconfig, admin.namespace, ELECTION) as second,
    ):
        eventually(lambda: sum(ready(first, second)) == 1, "one of the two is ready")
        leader, other = (first, second) if first.serving() else (second, first)
        before = holder(admin)
        crashed = time.monotonic()
        leader.crash()
        assert not other.serving()
        # The other may have looked at the last renewal as late as one try after it; it then asks when time is up.
        bound = Terms().lease + Terms().retry + 1.0
        eventually(other.serving, "the other is ready", crashed + bound - time.monotonic())
        assert holder(admin) != before


def test_without_election_every_replica_is_ready_and_none_writes_a_lease(cluster: Cluster, admin: Admin) -> None:
    admin.pool()
    with (
        picker(cluster.kubeconfig, admin.namespace) as first,
        picker(cluster.kubeconfig, admin.namespace) as second,
    ):
        eventually(lambda: ready(first, second) == [True, True], "both are ready")
        assert admin.request("GET", admin.path("Lease"))["items"] == []


def test_a_leader_that_loses_the_api_server_steps_down_and_comes_back(cluster: Cluster, admin: Admin) -> None:
    admin.pool()
    server = cluster.ours
    with picker(cluster.kubeconfig, admin.namespace, ELECTION) as epp:
        eventually(epp.serving, "it leads")
        server.kill()
        try:
            eventually(lambda: not epp.serving(), "it steps down", Terms().deadline + 5.0)
        finally:
            server.start()
        eventually(epp.serving, "it leads again", 30)
