"""The API server goes away, forgets, or turns the picker away: the last state stays in force, the right one follows."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.kubernetes.admin import Admin, eventually
from tests.kubernetes.conftest import Cluster
from tests.kubernetes.pickers import picker
from tests.kubernetes.tokens import ServiceAccount

from signalbox.bbr import MANAGED_LABEL
from signalbox.bbr.cluster_models import ConfigMapRecord
from signalbox.cluster import Access, Api, Codec, Collection, Follower, Phase, Reflector
from signalbox.cluster import reflector as reflector_module
from signalbox.cluster.reflector import LONGEST_PAUSE
from signalbox.sources.kubernetes.kinds import POOLS
from signalbox.sources.kubernetes.records import PodRecord, PolicyRecord

FOLLOWED = "signalbox_source_stale_seconds"


def test_without_an_api_server_routing_goes_on_and_afterwards_the_state_is_right(
    cluster: Cluster, admin: Admin
) -> None:
    server = cluster.ours
    admin.pool()
    admin.pod("a", "10.1.0.1")
    admin.pod("b", "10.1.0.2")
    admin.model("m", "food")
    with picker(cluster.kubeconfig, admin.namespace) as epp:
        eventually(lambda: len(epp.addresses()) == 2, "two pods")
        eventually(lambda: epp.metric(FOLLOWED) == 0, "everything is followed")
        server.kill()
        try:
            eventually(lambda: epp.metric(FOLLOWED) > 1, "it knows that it knows nothing new")
            assert epp.serving()
            assert len(epp.addresses()) == 2
            assert [model["name"] for model in epp.page()["models"]] == ["food"]
            assert any("pods cannot be followed: " in told for told in epp.page()["refused"])
        finally:
            server.start()
        admin.set_ready("a", False)
        admin.pod("c", "10.1.0.3")
        admin.delete("InferenceModel", "m")
        # As long as the longest pause between two tries, and the list.
        eventually(lambda: epp.addresses() == ["10.1.0.2:8000", "10.1.0.3:8000"], "what happened since", 60)
        eventually(lambda: epp.page()["models"] == [], "the model is gone", 60)
        eventually(lambda: epp.metric(FOLLOWED) == 0, "everything is followed again", 60)
        assert epp.page()["refused"] == []


def test_an_outage_of_a_minute_is_seen_in_the_metrics_and_over_soon_after_it(
    cluster: Cluster, admin: Admin, tmp_path: Path
) -> None:
    """Longer than reviews are remembered for, and long enough for the longest pauses between tries."""
    server = cluster.ours
    admin.pool()
    admin.pod("a", "10.1.0.1")
    admin.pod("b", "10.1.0.2")
    reader = ServiceAccount(cluster.kubeconfig, admin, "prometheus")
    reader.may([{"nonResourceURLs": ["/metrics", "/debug/pool"], "verbs": ["get"]}], everywhere=True)
    token = reader.token()
    with picker(cluster.kubeconfig, admin.namespace, "--metrics-endpoint-auth=true") as epp:
        eventually(epp.serving, "serving")
        eventually(lambda: epp.get("/metrics", token)[0] == 200, "Prometheus may read")
        assert epp.get("/debug/pool", token)[0] == 200
        killed = time.monotonic()
        server.kill()
        try:
            while (lasted := time.monotonic() - killed) < OUTAGE_SECONDS:
                code, text = epp.get("/metrics", token)
                assert code == 200, f"after {lasted:.0f} s"
                assert epp.serving()
                time.sleep(1.0)
            assert stale(text) > OUTAGE_SECONDS - 10
            assert len(json.loads(epp.get("/debug/pool", token)[1])["endpoints"]) == 2
        finally:
            server.start()
        admin.set_ready("a", False)
        admin.pod("c", "10.1.0.3")
        server.compact()

        def addresses() -> list[str]:
            page = json.loads(epp.get("/debug/pool", token)[1])
            return sorted(endpoint["address"] for endpoint in page["endpoints"])

        eventually(lambda: addresses() == ["10.1.0.2:8000", "10.1.0.3:8000"], "what happened since", LONGEST_PAUSE + 5)
        eventually(lambda: stale(epp.get("/metrics", token)[1]) == 0, "all is followed again", LONGEST_PAUSE + 5)


OUTAGE_SECONDS = 75.0


def stale(metrics: str) -> float:
    """The longest staleness on a page of metrics."""
    return max(float(line.rpartition(" ")[2]) for line in metrics.splitlines() if line.startswith(f"{FOLLOWED}{{"))


async def test_a_real_servers_bookmarks_break_no_watch(
    cluster: Cluster, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sends one 2 s before the end of a watch, and about every minute."""
    monkeypatch.setattr(reflector_module, "WATCH_SECONDS", (7, 7))
    admin.pool()
    admin.pod("a", "10.1.0.1")
    path = f"/api/v1/namespaces/{admin.namespace}/configmaps"
    labels = {MANAGED_LABEL: "true"}

    def config_map(name: str) -> None:
        document = {"kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": {"baseModel": "b"}}
        admin.request("POST", path, document)

    config_map("m")
    api = Api(Access(cluster.kubeconfig))
    kinds: list[tuple[type[Any], Collection]] = [
        (PolicyRecord, POOLS[0].collection(admin.namespace)),
        (PodRecord, Collection("", "v1", "pods", admin.namespace)),
        (ConfigMapRecord, Collection("", "v1", "configmaps", admin.namespace, (("labelSelector", MANAGED_LABEL),))),
    ]
    followers: list[Follower[Any]] = [
        Follower(api, collection, Codec(record), Reflector(Random(0)), lambda _: None, time.monotonic)
        for record, collection in kinds
    ]
    tasks = [asyncio.create_task(follower.run()) for follower in followers]
    try:
        async with asyncio.timeout(60):
            while not all(follower.reflector.phase is Phase.FOLLOWED for follower in followers):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            # A server that has seen nothing happen to a kind since its start sends no bookmarks for it.
            admin.pool("other")
            admin.pod("b", "10.1.0.2")
            config_map("n")
            while not all(follower.reflector.bookmarks for follower in followers):  # noqa: ASYNC110 - over a socket
                await asyncio.sleep(0.1)
        for follower in followers:
            assert len(follower.reflector) == 2
            assert (follower.reflector.lists, follower.reflector.problem) == (1, "")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await api.close()


def test_what_happened_while_nobody_watched_is_not_missed(cluster: Cluster, admin: Admin) -> None:
    """The history of the time in between is compacted away: a watch from the old version is answered with 410."""
    server = cluster.ours
    admin.pool()
    admin.pod("a", "10.1.0.1")
    admin.pod("b", "10.1.0.2")
    with picker(cluster.kubeconfig, admin.namespace) as epp:
        eventually(lambda: len(epp.addresses()) == 2, "two pods")
        assert epp.metric("signalbox_source_lists_total") == 1
        epp.pause()
        server.kill()  # so that nothing of what follows reaches the picker
        server.start()
        admin.delete("Pod", "a")
        admin.pod("c", "10.1.0.3")
        server.compact()
        server.kill()
        server.start()
        epp.go_on()
        eventually(lambda: epp.addresses() == ["10.1.0.2:8000", "10.1.0.3:8000"], "one pod less, another more", 60)
        assert epp.metric("signalbox_source_lists_total") == 2


def test_a_picker_that_starts_without_an_api_server_waits_for_it(cluster: Cluster, admin: Admin) -> None:
    server = cluster.ours
    admin.pool()
    admin.pod("a", "10.1.0.1")
    server.kill()
    try:
        with picker(cluster.kubeconfig, admin.namespace) as epp:
            eventually(lambda: bool(epp.said("resource cannot be followed; what was known stays in force")), "said")
            assert not epp.serving()
            assert epp.serving("liveness")
            server.start()
            eventually(lambda: epp.addresses() == ["10.1.0.1:8000"], "the pod", 60)
            assert epp.serving()
    finally:
        if not server.running:
            server.start()


@pytest.fixture
def account(cluster: Cluster, admin: Admin) -> ServiceAccount:
    """A service account that may read what a picker reads."""
    account = ServiceAccount(cluster.kubeconfig, admin, "epp")
    account.may(
        [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
            {
                "apiGroups": ["inference.networking.k8s.io", "inference.networking.x-k8s.io", "llm-d.ai"],
                "resources": ["*"],
                "verbs": ["list", "watch"],
            },
        ]
    )
    return account


def test_a_token_that_has_expired_is_read_anew(
    cluster: Cluster, admin: Admin, account: ServiceAccount, tmp_path: Path
) -> None:
    admin.pool()
    admin.pod("a", "10.1.0.1")
    token = tmp_path / "token"
    token.write_text(account.token())
    config = account.kubeconfig(tmp_path / "config", token_file=token)
    with picker(config, admin.namespace) as epp:
        eventually(lambda: len(epp.addresses()) == 1, "one pod")
        account.revoke()  # the tokens so far are worth nothing from now on
        renewed = account.token()
        cluster.ours.kill()
        cluster.ours.start()  # which ends the watches, that live on otherwise
        eventually(lambda: any("401" in told for told in epp.page()["refused"]), "it is told that it is unknown", 60)
        assert len(epp.addresses()) == 1
        token.write_text(renewed)
        admin.pod("b", "10.1.0.2")
        eventually(lambda: len(epp.addresses()) == 2, "followed with the new token", 60)


def test_permissions_that_are_missing_are_named_and_their_coming_is_noticed(
    cluster: Cluster, admin: Admin, tmp_path: Path
) -> None:
    admin.pool()
    admin.pod("a", "10.1.0.1")
    account = ServiceAccount(cluster.kubeconfig, admin, "epp")
    rules = [
        {"apiGroups": ["inference.networking.k8s.io"], "resources": ["inferencepools"], "verbs": ["list", "watch"]}
    ]
    account.may(rules)
    with picker(account.kubeconfig(tmp_path / "config"), admin.namespace) as epp:
        eventually(lambda: any('cannot list resource "pods"' in told for told in epp.page()["refused"]), "it says what")
        assert not epp.serving()
        account.may([*rules, {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}])
        eventually(epp.serving, "serving without InferenceModels, as the reference's oldest Roles leave it", 40)
        assert epp.addresses() == ["10.1.0.1:8000"]
