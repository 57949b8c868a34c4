"""What is shipped works: the CRDs, the Role, the arguments of the guide's own Deployment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.deploy.rendered import templated
from tests.kubernetes.admin import Admin, Answered, document, eventually
from tests.kubernetes.conftest import Cluster
from tests.kubernetes.pickers import PickerProcess, picker
from tests.kubernetes.tokens import ServiceAccount

ROOT = Path(__file__).parents[2]
EPP = ROOT / "deploy" / "kustomize" / "epp"
ELECTION = ROOT / "deploy" / "kustomize" / "components" / "high-availability" / "lease-rbac.yaml"
GUIDE = ROOT / "examples" / "get-started" / "03-inferencepool-resources.yaml"

POOL = {
    "selector": {"matchLabels": {"app": "llm"}},
    "targetPorts": [{"number": 8000}],
    "endpointPickerRef": {"name": "epp", "port": {"number": 9002}},
}
OLD_POOL = {"selector": {"app": "llm"}, "targetPortNumber": 8000, "extensionRef": {"name": "epp"}}
OLD = "inference.networking.x-k8s.io/v1alpha2"
MODEL = {"modelName": "food", "poolRef": {"name": "pool"}}
RULE = {"targets": [{"modelRewrite": "new", "weight": 1}]}


def without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    """A document less some of its fields."""
    return {name: value for name, value in document.items() if name not in names}


@pytest.mark.parametrize(
    ("kind", "version", "spec"),
    [
        ("InferencePool", "", POOL),
        ("InferencePool", OLD, OLD_POOL),
        ("InferenceModel", "", MODEL),
        ("InferenceModel", "", MODEL | {"targetModels": [{"name": "a", "weight": 1}, {"name": "b", "weight": 9}]}),
        ("InferenceObjective", "", {"priority": -1, "poolRef": {"name": "pool"}}),
        ("InferenceModelRewrite", "", {"poolRef": {"name": "pool"}, "rules": [RULE]}),
    ],
)
def test_valid_objects_are_taken(cluster: Cluster, admin: Admin, kind: str, version: str, spec: dict[str, Any]) -> None:
    created = admin.create(document(kind, "x", spec, version))
    assert created["spec"].keys() >= spec.keys()


@pytest.mark.parametrize(
    ("kind", "version", "spec", "field"),
    [
        ("InferencePool", "", without(POOL, "selector"), "spec.selector"),
        ("InferencePool", "", without(POOL, "targetPorts"), "spec.targetPorts"),
        ("InferencePool", "", POOL | {"targetPorts": []}, "spec.targetPorts"),
        ("InferencePool", "", POOL | {"targetPorts": [{"number": port} for port in range(1, 10)]}, "spec.targetPorts"),
        ("InferencePool", "", POOL | {"targetPorts": [{"number": 0}]}, "spec.targetPorts"),
        ("InferencePool", "", POOL | {"targetPorts": [{"number": 65536}]}, "spec.targetPorts"),
        ("InferencePool", "", POOL | {"targetPorts": [{"number": "x"}]}, "spec.targetPorts"),
        (
            "InferencePool",
            "",
            POOL | {"endpointPickerRef": {"name": "e", "port": {"number": 1}, "failureMode": "Maybe"}},
            "spec.endpointPickerRef.failureMode",
        ),
        ("InferencePool", OLD, without(OLD_POOL, "extensionRef"), "spec.extensionRef"),
        ("InferencePool", OLD, OLD_POOL | {"targetPortNumber": 70000}, "spec.targetPortNumber"),
        ("InferenceModel", "", without(MODEL, "modelName"), "spec.modelName"),
        ("InferenceModel", "", without(MODEL, "poolRef"), "spec.poolRef"),
        ("InferenceModel", "", MODEL | {"modelName": "x" * 257}, "spec.modelName"),
        ("InferenceModel", "", MODEL | {"criticality": "Somewhat"}, "spec.criticality"),
        ("InferenceModel", "", MODEL | {"targetModels": [{"name": f"m{n}"} for n in range(11)]}, "spec.targetModels"),
        ("InferenceModel", "", MODEL | {"targetModels": [{"name": "a", "weight": 0}]}, "weight"),
        ("InferenceModel", "", MODEL | {"targetModels": [{"name": "a", "weight": 1}, {"name": "b"}]}, "targetModels"),
        ("InferenceObjective", "", {"priority": 1}, "spec.poolRef"),
        ("InferenceObjective", "", {"priority": "high", "poolRef": {"name": "pool"}}, "spec.priority"),
        ("InferenceModelRewrite", "", {"rules": [RULE]}, "spec.poolRef"),
        ("InferenceModelRewrite", "", {"poolRef": {"name": "pool"}, "rules": [{}]}, "targets"),
        (
            "InferenceModelRewrite",
            "",
            {"poolRef": {"name": "pool"}, "rules": [RULE | {"matches": [{"model": {"type": "Regex", "value": "x"}}]}]},
            "type",
        ),
    ],
)
def test_invalid_fields_are_refused_with_422(
    cluster: Cluster, admin: Admin, kind: str, version: str, spec: dict[str, Any], field: str
) -> None:
    with pytest.raises(Answered) as caught:
        admin.create(document(kind, "x", spec, version))
    assert caught.value.code == 422
    assert field in caught.value.message


def shipped_rules(how: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rules of the shipped Roles, that of election included, and those of the shipped ClusterRoles."""
    if how == "helm":
        documents = templated("picker.replicas=3", name="pool")
    else:
        documents = [
            found for path in (EPP / "rbac.yaml", ELECTION) for found in yaml.safe_load_all(path.read_text()) if found
        ]
    return (
        [rule for found in documents if found["kind"] == "Role" for rule in found["rules"]],
        [rule for found in documents if found["kind"] == "ClusterRole" for rule in found["rules"]],
    )


@pytest.mark.parametrize("how", ["kustomize", "helm"])
def test_the_shipped_roles_are_all_that_a_picker_needs(
    cluster: Cluster, admin: Admin, tmp_path: Path, how: str
) -> None:
    local, everywhere = shipped_rules(how)
    account = ServiceAccount(cluster.kubeconfig, admin, "llm-epp")
    lease = f"epp-{admin.namespace}-pool.gateway-api-inference-extension.sigs.k8s.io"
    account.may([_for_lease(rule, lease) for rule in local])
    account.may(everywhere, everywhere=True)
    reader = ServiceAccount(cluster.kubeconfig, admin, "prometheus")
    reader.may([{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}], everywhere=True)
    admin.pool()
    admin.pod("a", "10.1.0.1")
    admin.model("m", "food")
    admin.create(document("InferenceObjective", "o", {"priority": 1, "poolRef": {"name": "pool"}}))
    flags = ("--ha-enable-leader-election", "--metrics-endpoint-auth")
    with picker(account.kubeconfig(tmp_path / "config"), admin.namespace, *flags) as epp:
        eventually(epp.serving, "serving, as leader")
        code, body = epp.get("/metrics", reader.token())
        assert code == 200, body
        assert "inference_pool_ready_pods" in body
        for path in ("/debug/pool", "/debug/decisions"):
            assert epp.get(path, reader.token())[0] == 403, "metrics are not decisions"
            assert epp.get(path, account.token())[0] == 200, "kubectl exec: signalbox status, signalbox explain"
        assert epp.terminate() == 0
        assert epp.said("lease given up")
        assert not epp.said("resource cannot be followed; what was known stays in force")
        assert not epp.said("lease cannot be read or written")


def _for_lease(rule: dict[str, Any], name: str) -> dict[str, Any]:
    """A rule about the Lease of one pool, for the pool of this test; others as they are."""
    return rule | {"resourceNames": [name]} if "resourceNames" in rule else rule


def test_the_guides_own_deployment_starts_ours(cluster: Cluster, admin: Admin, tmp_path: Path) -> None:
    """Its arguments and environment word for word, its pool, its ClusterRole; only the address is one of this test."""
    documents = [found for found in yaml.safe_load_all(GUIDE.read_text()) if found]
    by_kind = {found["kind"]: found for found in documents}
    container = by_kind["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    pool = by_kind["InferencePool"]
    admin.create(pool)
    labels = pool["spec"]["selector"]
    admin.pod("vllm-0", "10.1.0.1", labels=labels)
    account = ServiceAccount(cluster.kubeconfig, admin, "default-of-the-guide")
    account.may(by_kind["ClusterRole"]["rules"], everywhere=True)
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    environment |= {
        "KUBECONFIG": str(account.kubeconfig(tmp_path / "config")),
        "NAMESPACE": admin.namespace,  # the guide's is default
        "PATH": "/usr/bin:/bin",
    }
    command = [sys.executable, "-m", "signalbox", "epp", *container["args"], "--grpc-host", "127.77.0.1"]
    epp = PickerProcess(command, environment)
    epp.host = "127.77.0.1"
    try:
        epp.await_ports()
        eventually(lambda: epp.serving("inference-extension"), "the guide's probe", 30)
        assert epp.get("/metrics")[0] == 401
        assert epp.terminate() == 0
        (followed,) = epp.said("pool found")
        assert followed["endpoints"] == 1
    finally:
        epp.end()
