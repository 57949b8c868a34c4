"""InferenceModel: a model name users ask for, how much it matters, and what is served for it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator

from signalbox.resources.limits import Rule, bounded, entries, text
from signalbox.resources.metadata import Resource
from signalbox.resources.references import EXPERIMENTAL_GROUP, ExperimentalPoolRef
from signalbox.resources.strict import Integer, Opaque, Strict, fault

IMMUTABLE = Rule("self == oldSelf", "modelName is immutable")
ALL_WEIGHTS_OR_NONE = Rule(
    "self.all(model, has(model.weight)) || self.all(model, !has(model.weight))",
    "Weights should be set for all models, or none of the models.",
    {"anyOf": [{"items": {"required": ["weight"]}}, {"items": {"not": {"required": ["weight"]}}}]},
)

Weight = Annotated[Integer, bounded(1, 1_000_000)]


class Criticality(StrEnum):
    """How much the requests of a model matter; unset is documented to mean Standard."""

    CRITICAL = "Critical"
    STANDARD = "Standard"
    SHEDDABLE = "Sheddable"

    @property
    def priority(self) -> int:
        """The same as the priority of an objective: above 0 matters more than usual, below 0 may be shed."""
        return {"Critical": 1, "Standard": 0, "Sheddable": -1}[self]


class TargetModel(Strict):
    """A served model and its share of the traffic, relative to its siblings' weights."""

    name: Annotated[str, text(0, 253)]
    weight: Weight | None = None


def _weights_all_or_none(targets: tuple[TargetModel, ...]) -> tuple[TargetModel, ...]:
    without = [index for index, target in enumerate(targets) if target.weight is None]
    if without and len(without) < len(targets):
        raise fault(
            "is missing while other targetModels have one",
            "set weights for all target models, or for none of them",
            without[0],
            "weight",
        )
    return targets


TargetModels = Annotated[
    tuple[TargetModel, ...], entries(0, 10, "model"), AfterValidator(_weights_all_or_none), ALL_WEIGHTS_OR_NONE
]


class InferenceModelSpec(Strict):
    """With no ``target_models``, ``model_name`` itself is what the servers are asked for."""

    model_name: Annotated[str, text(0, 256), IMMUTABLE]
    criticality: Criticality | None = None
    target_models: TargetModels = ()
    pool_ref: ExperimentalPoolRef


class InferenceModel(Resource):
    """``inference.networking.x-k8s.io/v1alpha2`` InferenceModel."""

    api_version: str = f"{EXPERIMENTAL_GROUP}/v1alpha2"
    kind: Literal["InferenceModel"] = "InferenceModel"
    spec: InferenceModelSpec
    status: Opaque = None
