"""InferencePoolImport: a pool of another cluster, made known here by a multi-cluster controller."""

from __future__ import annotations

from typing import Literal

from signalbox.resources.metadata import Resource
from signalbox.resources.references import EXPERIMENTAL_GROUP
from signalbox.resources.strict import Opaque


class InferencePoolImport(Resource):
    """``inference.networking.x-k8s.io/v1alpha1`` InferencePoolImport. It has no spec: its name is the pool's."""

    api_version: str = f"{EXPERIMENTAL_GROUP}/v1alpha1"
    kind: Literal["InferencePoolImport"] = "InferencePoolImport"
    status: Opaque = None
