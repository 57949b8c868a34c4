"""References from one object to another."""

from __future__ import annotations

from signalbox.resources.scalars import Group, Kind, ObjectName
from signalbox.resources.strict import Strict

STABLE_GROUP = "inference.networking.k8s.io"
EXPERIMENTAL_GROUP = "inference.networking.x-k8s.io"
LLM_D_GROUP = "llm-d.ai"


class PoolRef(Strict):
    """The pool an objective or a rewrite belongs to; always in the object's own namespace."""

    group: Group = STABLE_GROUP
    kind: Kind = "InferencePool"
    name: ObjectName


class ExperimentalPoolRef(PoolRef):
    """The pool of an InferenceModel, whose ``group`` defaults to the experimental one."""

    group: Group = EXPERIMENTAL_GROUP
