"""The reader of rendered manifests finds what an API server would refuse."""

import copy
from typing import Any

import pytest
from tests.deploy.rendered import check, faults_of

DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "a"},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "a"}},
        "template": {"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 1}]}]}},
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The Deployment with one field set, or removed where the value is ``...``."""
    result = copy.deepcopy(DEPLOYMENT)
    *inner, last = path.split(".")
    place: Any = result
    for name in inner:
        place = place[int(name)] if name.isdigit() else place[name]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return result


def test_a_good_object_has_no_faults() -> None:
    assert faults_of(DEPLOYMENT) == []


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        (changed("spec.replicaz", 1), ".spec.replicaz: DeploymentSpec has no such field"),
        (changed("spec.selector", ...), ".spec.selector: DeploymentSpec needs it"),
        (changed("spec.replicas", "1"), ".spec.replicas: '1' is no int"),
        (changed("spec.replicas", True), ".spec.replicas: True is no int"),
        (changed("spec.replicas", None), ".spec.replicas: is null"),
        (changed("spec.selector.matchLabels.app", 1), ".spec.selector.matchLabels[app]: 1 is no str"),
        (changed("spec.template.spec.containers", {}), ".spec.template.spec.containers: {} is no list"),
        (
            changed("spec.template.spec.containers.0.image_", "x"),
            ".spec.template.spec.containers[0].image_: Container has no such field",
        ),
        (changed("kind", "Deploymint"), "kind apps/v1 Deploymint is not known here"),
        (
            {"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "spec": {"endpoint": []}},
            "spec.endpoint: is not among ['endpoints', 'selector']",
        ),
    ],
)
def test_each_kind_of_mistake_is_found(item: dict[str, Any], fault: str) -> None:
    assert faults_of(item) == [fault]


def test_an_object_defined_twice_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="is defined 2 times"):
        check([DEPLOYMENT, DEPLOYMENT])
