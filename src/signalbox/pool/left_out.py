"""Why a pod that is known is not an endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from signalbox.pool.endpoints import ACTIVE_PORTS_ANNOTATION
from signalbox.pool.membership import places
from signalbox.resources import InferencePool, Pod


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A pod that is not an endpoint. ``reasons`` are in words, the most telling one first."""

    pod: str
    reasons: tuple[str, ...]
    selected: bool
    """Whether the pool selects it: such a pod is expected to become an endpoint, another one may not be meant to."""


def left_out(pods: Iterable[Pod], spec: InferencePool | None) -> list[LeftOut]:
    """Return the pods that are not endpoints of ``spec``, those it selects first, then by name.

    Pods that have nothing in common with the selector are another application's and not told.
    """
    if spec is None:
        return []
    selector = spec.spec.selector.match_labels
    found = []
    for pod in pods:
        labels = pod.metadata.labels
        wrong = [name for name, value in selector.items() if labels.get(name) != value]
        if wrong and not any(name in labels for name in selector):
            continue
        reasons = [*_state(pod), *(_label(labels, name, selector[name]) for name in wrong)]
        if not reasons and not any(places([pod], spec)):
            reasons = [f"none of its ports is one of the pool's: {ACTIVE_PORTS_ANNOTATION}"]
        if reasons:
            found.append(LeftOut(pod.metadata.name, tuple(reasons), not wrong))
    return sorted(found, key=lambda pod: (not pod.selected, pod.pod))


def _state(pod: Pod) -> Iterable[str]:
    if pod.terminating:
        yield "terminating"
    if not pod.ready:
        conditions = [condition for condition in pod.status.conditions if condition.type == "Ready"]
        said = ": ".join(filter(None, (conditions[0].reason, conditions[0].message))) if conditions else ""
        if not conditions:
            yield "not ready: it has no Ready condition"
        else:
            yield f"not ready: {said}" if said else f"not ready: its Ready condition is {conditions[0].status}"
    if not pod.status.pod_ip:
        yield "has no IP address"


def _label(labels: Mapping[str, str], name: str, wanted: str) -> str:
    if name not in labels:
        return f"label {name} is missing; the pool selects {name}={wanted}"
    return f"label {name} is {labels[name]!r}; the pool selects {name}={wanted}"
