"""Manifests of the experimental API into those of the stable one.

InferencePool v1alpha2 becomes v1, InferenceModel becomes InferenceObjective and InferenceModelRewrite, and references
to a converted pool name its new group.
"""

from signalbox.resources.migration.manifest import Manifest
from signalbox.resources.migration.migrate import Header, Migration, Output, migrate

__all__ = ["Header", "Manifest", "Migration", "Output", "migrate"]
