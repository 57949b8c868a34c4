"""Overlays of one's own: another namespace, another pool, and the page's example."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from tests.cli.pickers import parse
from tests.deploy.rendered import COMPONENTS, ROOT, Object, check, containers, kustomized, only, with_components

from signalbox.cluster.lease import lease_name


def test_in_every_namespace_with_every_component_the_pools_name_is_everywhere(scratch: Path) -> None:
    objects = named(scratch, "models-b", "llama-7b", {"model": "llama"})
    check(objects)
    container = only(objects, "Deployment", "llm-epp")["spec"]["template"]["spec"]["containers"][0]
    options = parse(*(argument.replace("$(NAMESPACE)", "models-b") for argument in container["args"][1:]))
    assert (options.pool_name, options.pool_namespace) == ("llama-7b", "models-b")
    (lease,) = only(objects, "Role", "llm-epp-election")["rules"][1]["resourceNames"]
    assert lease == lease_name("models-b", "llama-7b")
    (peer,) = only(objects, "NetworkPolicy")["spec"]["egress"][0]["to"]
    assert peer["podSelector"]["matchLabels"] == {"model": "llama"}
    autoscaler = only(objects, "HorizontalPodAutoscaler", "llama-7b")["spec"]
    assert autoscaler["scaleTargetRef"]["name"] == "llama-7b"
    for metric in autoscaler["metrics"]:
        assert metric["external"]["metric"]["selector"]["matchLabels"] == {"name": "llama-7b"}


def test_the_overlay_of_the_page_is_one(scratch: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "deploy.md").read_text(), flags=re.DOTALL)
    (text,) = [block for block in blocks if "kind: Kustomization" in block]
    mine = scratch.parent / "kustomize" / "overlays" / "mine"
    mine.mkdir()
    (mine / "kustomization.yaml").write_text(text)
    objects = kustomized(str(mine))
    check(objects)
    metadata = only(objects, "InferencePool")["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("llama", "models")
    assert "REGISTRY/signalbox:0.1.0" in {container["image"] for _, container in containers(objects)}


def test_what_the_namespace_does_not_hold_has_its_name_so_that_two_namespaces_do_not_meet(scratch: Path) -> None:
    one = named(scratch, "one", "llm", {"app": "llm"})
    two = named(scratch.with_name("other"), "two", "llm", {"app": "llm"})
    bindings = [{each["metadata"]["name"] for each in found if each["kind"] == "ClusterRoleBinding"}
                for found in (one, two)]  # fmt: skip
    assert len(bindings[0]) == len(bindings[1]) == 3
    assert not bindings[0] & bindings[1]
    roles = [[each for each in found if each["kind"] == "ClusterRole"] for found in (one, two)]
    assert roles[0] == roles[1], "ClusterRoles are the same, whoever applies them last"


def named(directory: Path, namespace: str, pool: str, labels: dict[str, str]) -> list[Object]:
    """All components, in a namespace, for a pool, the way docs/deploy.md says it."""
    patch = [
        {"op": "replace", "path": "/metadata/name", "value": pool},
        {"op": "replace", "path": "/spec/selector/matchLabels", "value": labels},
    ]
    return with_components(
        directory,
        *COMPONENTS,
        namespace=namespace,
        patches=[{"target": {"kind": "InferencePool"}, "patch": yaml.safe_dump(patch)}],
        transformers=["../kustomize/naming"],
    )


def test_body_based_routing_has_the_same_parts_around_it(scratch: Path) -> None:
    scratch.mkdir()
    kustomization = {
        "namespace": "gateways",
        "resources": ["../kustomize/bbr"],
        "components": [f"../kustomize/bbr-components/{name}" for name in ("monitoring", "network-policy")],
        "transformers": ["../kustomize/bbr-naming"],
    }
    (scratch / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    objects = kustomized(str(scratch))
    check(objects)
    assert only(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    selector = only(objects, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
    assert selector.items() <= only(objects, "Service")["metadata"]["labels"].items()
    let_in = [rule["ports"][0]["port"] for rule in only(objects, "NetworkPolicy")["spec"]["ingress"]]
    assert let_in == [9004, 9005, 9090]
    names = {each["metadata"]["name"] for each in objects if each["kind"] == "ClusterRoleBinding"}
    assert names == {f"gateways-body-based-router-metrics-{what}" for what in ("auth", "reader")}
