"""InferenceModelRewrite: which model is served in place of the one a request names."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from signalbox.resources.inferencemodel import Weight
from signalbox.resources.limits import entries, text
from signalbox.resources.metadata import Resource
from signalbox.resources.references import EXPERIMENTAL_GROUP, PoolRef
from signalbox.resources.strict import Opaque, Strict


class ModelMatchType(StrEnum):
    """How a model name is compared."""

    EXACT = "Exact"


class ModelCondition(Strict):
    """A condition on the model a request names."""

    type: ModelMatchType = ModelMatchType.EXACT
    value: Annotated[str, text(1, None)]


class ModelMatch(Strict):
    """One alternative among the matches of a rule, wrapped as the API wraps it."""

    model: ModelCondition

    @property
    def type(self) -> ModelMatchType:
        """How the model name is compared."""
        return self.model.type

    @property
    def value(self) -> str:
        """The model name to compare with."""
        return self.model.value


class RewriteTarget(Strict):
    """A model to serve, and its share of the traffic relative to its siblings' weights."""

    model_rewrite: str
    weight: Weight | None = None


class RewriteRule(Strict):
    """Applies when any of ``matches`` does; with none it applies to every model."""

    matches: tuple[ModelMatch, ...] = ()
    targets: Annotated[tuple[RewriteTarget, ...], entries(1, None, "target")]


class InferenceModelRewriteSpec(Strict):
    """Rules in order; within one object the first that applies wins."""

    pool_ref: PoolRef
    rules: tuple[RewriteRule, ...]


class InferenceModelRewrite(Resource):
    """``inference.networking.x-k8s.io/v1alpha2`` or ``llm-d.ai/v1alpha2`` InferenceModelRewrite."""

    api_version: str = f"{EXPERIMENTAL_GROUP}/v1alpha2"
    kind: Literal["InferenceModelRewrite"] = "InferenceModelRewrite"
    spec: InferenceModelRewriteSpec
    status: Opaque = None
