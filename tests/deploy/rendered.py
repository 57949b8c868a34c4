"""Manifests as kubectl and helm render them, and a strict reading: unknown and missing fields are errors.

Kinds of Kubernetes itself are read with the types of ``lightkube-models``, which are generated from its API; kinds of
the Gateway API and its inference extension with our own; the Prometheus operator's by the few fields that are used.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import types
import typing
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightkube.models import (
    apps_v1,
    autoscaling_v2,
    core_v1,
    networking_v1,
    policy_v1,
    rbac_v1,
)

from signalbox.resources import Origin, parse_resource

ROOT = Path(__file__).parents[2]
KUSTOMIZE = ROOT / "deploy" / "kustomize"
COMPONENTS = sorted(path.name for path in (KUSTOMIZE / "components").iterdir())
CHART = ROOT / "deploy" / "helm" / "signalbox"

Object = dict[str, Any]

TYPES = {
    ("v1", "ConfigMap"): core_v1.ConfigMap,
    ("v1", "Secret"): core_v1.Secret,
    ("v1", "Service"): core_v1.Service,
    ("v1", "ServiceAccount"): core_v1.ServiceAccount,
    ("apps/v1", "Deployment"): apps_v1.Deployment,
    ("autoscaling/v2", "HorizontalPodAutoscaler"): autoscaling_v2.HorizontalPodAutoscaler,
    ("networking.k8s.io/v1", "NetworkPolicy"): networking_v1.NetworkPolicy,
    ("policy/v1", "PodDisruptionBudget"): policy_v1.PodDisruptionBudget,
    ("rbac.authorization.k8s.io/v1", "Role"): rbac_v1.Role,
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): rbac_v1.RoleBinding,
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): rbac_v1.ClusterRole,
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): rbac_v1.ClusterRoleBinding,
}
OURS = ("inference.networking.k8s.io/", "inference.networking.x-k8s.io/", "gateway.networking.k8s.io/")
CLUSTER_WIDE = frozenset({"ClusterRole", "ClusterRoleBinding"})
TEXTS = frozenset({"annotations", "binaryData", "data", "labels", "matchLabels", "nodeSelector", "stringData"})
"""Fields whose values are text, which the types do not say."""

_AUTHORIZATION = {"type": str, "credentials": {"name": str, "key": str}}
_ENDPOINT = {"port": str, "path": str, "interval": str, "authorization": _AUTHORIZATION}
SERVICE_MONITOR = {"selector": {"matchLabels": dict}, "endpoints": [_ENDPOINT]}


def kustomized(*path: str) -> list[Object]:
    """What ``kubectl kustomize`` makes of a directory below ``deploy/kustomize``."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed: its kustomize renders deploy/kustomize")
    return _documents(kubectl, "kustomize", str(KUSTOMIZE.joinpath(*path)))


def with_components(directory: Path, *names: str, **more: Any) -> list[Object]:
    """The picker with these components; ``more`` are fields of the overlay."""
    directory.mkdir()
    kustomization = {
        "resources": ["../kustomize/epp"],
        "components": [f"../kustomize/components/{name}" for name in names],
        **more,
    }
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return kustomized(str(directory))


def helm() -> str:
    """The helm to use: ``HELM``, else the one on the path."""
    found = os.environ.get("HELM") or shutil.which("helm")
    if found is None:
        pytest.skip(
            "helm is not installed: go install helm.sh/helm/v3/cmd/helm@v3.16.4, and HELM=PATH if it is elsewhere"
        )
    return found


def templated(*values: str, name: str = "llm", namespace: str = "models") -> list[Object]:
    """What ``helm template`` makes of the chart, with ``--set-json KEY=JSON`` for each value."""
    return _documents(*helm_command(*values, name=name, namespace=namespace))


def helm_command(*values: str, name: str = "llm", namespace: str = "models") -> list[str]:
    """The command for that. The Kubernetes version is said because helms not built by its makefile think it is 1.20."""
    flags = [flag for value in values for flag in ("--set-json", value)]
    return [helm(), "template", name, str(CHART), "--namespace", namespace, "--kube-version", "1.30.0", *flags]


def _documents(*command: str) -> list[Object]:
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    return [each for each in yaml.safe_load_all(result.stdout) if each]


def check(objects: list[Object]) -> None:
    """Read every object strictly, and what they say of each other.

    Raises:
        AssertionError: with every fault.
    """
    faults = [f"{name_of(each)} {fault}" for each in objects for fault in faults_of(each)]
    names = Counter((each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]) for each in objects)
    faults += [f"{name} is defined {count} times" for name, count in names.items() if count > 1]
    assert not faults, "\n".join(faults)


def faults_of(item: Object) -> list[str]:
    """What is wrong with one object."""
    version, kind = str(item.get("apiVersion")), str(item.get("kind"))
    if version.startswith(OURS):
        parse_resource(item, Origin("rendered"))  # raises InvalidResource, which names field and fix
        return []
    if (version, kind) == ("monitoring.coreos.com/v1", "ServiceMonitor"):
        return list(_unlike(item["spec"], SERVICE_MONITOR, "spec"))
    if (version, kind) not in TYPES:
        return [f"kind {version} {kind} is not known here"]
    return list(_faults(item, TYPES[version, kind], ""))


def name_of(item: Object) -> str:
    """``Kind/name``."""
    return f"{item.get('kind')}/{item.get('metadata', {}).get('name')}"


def only(objects: list[Object], kind: str, name: str | None = None) -> Object:
    """The one object of a kind, or of a kind and name."""
    (found,) = [each for each in objects if each["kind"] == kind and name in (None, each["metadata"]["name"])]
    return found


def kinds(objects: list[Object]) -> Counter[str]:
    """How many there are of each kind."""
    return Counter(each["kind"] for each in objects)


def containers(objects: list[Object]) -> Iterator[tuple[Object, Object]]:
    """All containers and init containers of Deployments, each with its pod spec."""
    for each in objects:
        if each["kind"] == "Deployment":
            pod = each["spec"]["template"]["spec"]
            for container in (*pod.get("initContainers", ()), *pod["containers"]):
                yield pod, container


def _faults(value: Any, hint: Any, path: str) -> Iterator[str]:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        if len(options) == 1:
            yield from _faults(value, options[0], path) if value is not None else (f"{path}: is null",)
        elif not isinstance(value, tuple(option for option in options if isinstance(option, type))):
            yield f"{path}: {value!r} is none of {options}"
    elif origin is list:
        if not isinstance(value, list):
            yield f"{path}: {value!r} is no list"
        else:
            for index, element in enumerate(value):
                yield from _faults(element, typing.get_args(hint)[0], f"{path}[{index}]")
    elif origin is dict or hint is dict:
        if not isinstance(value, dict):
            yield f"{path}: {value!r} is no object"
        else:
            inside = (typing.get_args(hint) or (str, Any))[1]
            for key, element in value.items():
                yield from _faults(element, inside, f"{path}[{key}]")
    elif isinstance(hint, type) and hint.__module__.startswith("lightkube.models"):
        yield from _object_faults(value, hint, path)
    elif (
        hint is not Any
        and isinstance(hint, type)
        and (not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool))
    ):
        yield f"{path}: {value!r} is no {hint.__name__}"  # bool is an int to Python, not to Kubernetes


def _object_faults(value: Any, kind: type, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is no {kind.__name__}"
        return
    hints = {name.rstrip("_"): hint for name, hint in typing.get_type_hints(kind).items()}
    for name in value.keys() - hints.keys():
        yield f"{path}.{name}: {kind.__name__} has no such field"
    for name, hint in hints.items():
        optional = typing.get_origin(hint) in (typing.Union, types.UnionType) and type(None) in typing.get_args(hint)
        if name in value:
            yield from _faults(value[name], dict[str, str] if name in TEXTS else hint, f"{path}.{name}")
        elif not optional:
            yield f"{path}.{name}: {kind.__name__} needs it"


def _unlike(value: Any, shape: Any, path: str) -> Iterator[str]:
    if isinstance(shape, list):
        for index, element in enumerate(value):
            yield from _unlike(element, shape[0], f"{path}[{index}]")
    elif isinstance(shape, dict):
        for name in value.keys() - shape.keys():
            yield f"{path}.{name}: is not among {sorted(shape)}"
        for name in value.keys() & shape.keys():
            yield from _unlike(value[name], shape[name], f"{path}.{name}")
    elif not isinstance(value, shape):
        yield f"{path}: {value!r} is no {shape.__name__}"
