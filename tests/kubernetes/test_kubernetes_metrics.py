"""Metrics and admin pages of a picker in a cluster: for whom the API server lets read them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kubernetes.admin import Admin, eventually
from tests.kubernetes.conftest import Cluster
from tests.kubernetes.pickers import PickerProcess, picker
from tests.kubernetes.tokens import ServiceAccount

REVIEWS = [
    {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
    {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
]


@pytest.fixture
def guarded(cluster: Cluster, admin: Admin) -> Iterator[PickerProcess]:
    """A picker as it is by default."""
    admin.pool()
    with picker(cluster.kubeconfig, admin.namespace, "--metrics-endpoint-auth") as epp:
        eventually(epp.serving, "serving")
        yield epp


def test_a_token_with_permission_reads_and_others_are_told_what_is_missing(
    cluster: Cluster, admin: Admin, guarded: PickerProcess
) -> None:
    reader = ServiceAccount(cluster.kubeconfig, admin, "prometheus")
    reader.may([{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}], everywhere=True)
    stranger = ServiceAccount(cluster.kubeconfig, admin, "stranger")
    code, body = guarded.get("/metrics", reader.token())
    assert code == 200
    assert "inference_pool_ready_pods" in body
    code, body = guarded.get("/debug/pool", reader.token())
    assert code == 403
    assert f"system:serviceaccount:{admin.namespace}:prometheus may not get /debug/pool: give it a ClusterRole" in body
    assert guarded.get("/metrics", stranger.token())[0] == 403
    assert guarded.get("/metrics", "made-up") == (401, '{"error": "the bearer token is not valid, or no longer"}')
    code, body = guarded.get("/metrics")
    assert code == 401
    assert "no bearer token" in body


def test_probes_need_no_token(guarded: PickerProcess) -> None:
    assert guarded.get("/healthz") == (200, "ok\n")


def test_an_api_server_that_does_not_say_is_an_error_of_ours(cluster: Cluster, admin: Admin, tmp_path: Path) -> None:
    """A picker whose service account may not create reviews."""
    admin.pool()
    account = ServiceAccount(cluster.kubeconfig, admin, "epp")
    account.may([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["list", "watch"]}])
    config = account.kubeconfig(tmp_path / "config")
    with picker(config, admin.namespace, "--metrics-endpoint-auth=true") as epp:
        eventually(epp.serving, "serving")
        code, body = epp.get("/metrics", account.token())
        assert code == 500
        assert "the API server did not say" in body
        denied = "metrics denied: the API server does not answer reviews"
        eventually(lambda: ["tokenreviews" in line["problem"] for line in epp.said(denied)] == [True], "said, and why")
        account.may([*REVIEWS, {"nonResourceURLs": ["/metrics"], "verbs": ["get"]}], everywhere=True)
        eventually(lambda: epp.get("/metrics", account.token())[0] == 200, "reviews are allowed now")
