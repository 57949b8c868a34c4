"""InferenceObjective: the priority a request may ask for by name."""

from __future__ import annotations

from typing import Literal

from signalbox.resources.metadata import Resource
from signalbox.resources.references import EXPERIMENTAL_GROUP, PoolRef
from signalbox.resources.scalars import Int64
from signalbox.resources.strict import Opaque, Strict


class InferenceObjectiveSpec(Strict):
    """A higher ``priority`` matters more; unset is 0, below 0 may be shed."""

    pool_ref: PoolRef
    priority: Int64 | None = None


class InferenceObjective(Resource):
    """``inference.networking.x-k8s.io/v1alpha2`` or ``llm-d.ai/v1alpha2`` InferenceObjective."""

    api_version: str = f"{EXPERIMENTAL_GROUP}/v1alpha2"
    kind: Literal["InferenceObjective"] = "InferenceObjective"
    spec: InferenceObjectiveSpec
    status: Opaque = None
