"""Objects back into documents."""

from __future__ import annotations

from typing import Any

from signalbox.resources.metadata import Resource


def serialize(resource: Resource) -> dict[str, Any]:
    """Return the object as a Kubernetes document, fit for YAML or JSON.

    Fields that hold their default are left out, and parsing the document gives an equal object again.
    """
    content = resource.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {"apiVersion": resource.api_version, "kind": resource.kind} | content
