"""One object of the old API into those of the new."""

from __future__ import annotations

from typing import Any

from signalbox.resources.inferencemodel import Criticality, InferenceModel
from signalbox.resources.inferencepool import InferencePool
from signalbox.resources.references import EXPERIMENTAL_GROUP, STABLE_GROUP

Content = dict[str, Any]

KEPT = ("name", "namespace", "labels", "annotations", "ownerReferences")
"""What a new object takes over from the old one's metadata; the rest belongs to the server or to the old object."""

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""An annotation that holds the old object, by which ``kubectl apply`` would compare."""


def pool_in_v1(written: Content, pool: InferencePool) -> Content:
    """Return a v1alpha2 InferencePool in v1; ``pool`` is what it was read as. The status stays behind."""
    extension = written["spec"]["extensionRef"]
    picker = {name: extension[name] for name in ("group", "kind", "name") if extension.get(name) is not None}
    read = pool.spec.endpoint_picker_ref
    if read is not None and read.port is not None:
        picker["port"] = {"number": read.port}
    if extension.get("failureMode") is not None:
        picker["failureMode"] = extension["failureMode"]
    return {
        "apiVersion": f"{STABLE_GROUP}/v1",
        "kind": "InferencePool",
        "metadata": _metadata(written),
        "spec": {
            "selector": {"matchLabels": dict(pool.spec.selector.match_labels)},
            "targetPorts": [{"number": port.number} for port in pool.spec.target_ports],
            "endpointPickerRef": picker,
        },
    }


def priority_of(model: InferenceModel) -> int:
    """Return the priority that a model's criticality amounts to; none given is Standard."""
    return (model.spec.criticality or Criticality.STANDARD).priority


def objective_of(written: Content, model: InferenceModel) -> Content:
    """Return the InferenceObjective that stands for a model's criticality; it bears the model's ``metadata.name``."""
    spec = {"poolRef": _pool_ref(model), "priority": priority_of(model)}
    return _experimental("InferenceObjective", written, spec)


def rewrite_of(written: Content, model: InferenceModel) -> Content:
    """Return the InferenceModelRewrite that stands for a model's targets; it bears the model's ``metadata.name``."""
    targets: list[Content] = []
    for target in model.spec.target_models:
        weight = {} if target.weight is None else {"weight": target.weight}
        targets.append({"modelRewrite": target.name, **weight})
    matches = [{"model": {"type": "Exact", "value": model.spec.model_name}}]
    spec = {"poolRef": _pool_ref(model), "rules": [{"matches": matches, "targets": targets}]}
    return _experimental("InferenceModelRewrite", written, spec)


def _experimental(kind: str, written: Content, spec: Content) -> Content:
    return {
        "apiVersion": f"{EXPERIMENTAL_GROUP}/v1alpha2",
        "kind": kind,
        "metadata": _metadata(written),
        "spec": spec,
    }


def _pool_ref(model: InferenceModel) -> Content:
    """Return a reference to the same pool in v1: only what differs from the defaults of the new kinds."""
    old = model.spec.pool_ref
    group = {} if old.group in (EXPERIMENTAL_GROUP, STABLE_GROUP) else {"group": old.group}
    kind = {} if old.kind == "InferencePool" else {"kind": old.kind}
    return {**group, **kind, "name": old.name}


def _metadata(written: Content) -> Content:
    metadata = {name: written["metadata"][name] for name in KEPT if written["metadata"].get(name) is not None}
    annotations = {name: text for name, text in metadata.pop("annotations", {}).items() if name != LAST_APPLIED}
    return metadata | ({"annotations": annotations} if annotations else {})
