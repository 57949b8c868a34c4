"""Schemas of the status subresources. Controllers of gateways write them; nothing here does."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_DOMAIN_PATH = rf"^{_DOMAIN}\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$"
_KIND = "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"

STATUS_CONDITION: Schema = {
    "type": "object",
    "description": "One aspect of the state, as metav1.Condition.",
    "required": ["lastTransitionTime", "message", "reason", "status", "type"],
    "properties": {
        "lastTransitionTime": {"type": "string", "format": "date-time"},
        "message": {"type": "string", "maxLength": 32768},
        "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
        "reason": {
            "type": "string",
            "minLength": 1,
            "maxLength": 1024,
            "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        },
        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        "type": {
            "type": "string",
            "maxLength": 316,
            "pattern": rf"^({_DOMAIN}/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
        },
    },
}


def pending(condition: str) -> Schema:
    """Return the condition that stands until a controller comes: unknown, since the epoch."""
    return {
        "type": condition,
        "status": "Unknown",
        "reason": "Pending",
        "message": "Waiting for controller",
        "lastTransitionTime": "1970-01-01T00:00:00Z",
    }


def _conditions(default: str | None = None) -> Schema:
    schema: Schema = {
        "type": "array",
        "items": STATUS_CONDITION,
        "maxItems": 8,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    }
    return schema | ({"default": [pending(default)]} if default else {})


def _parents(*, pending_by_default: bool, controllers: bool) -> Schema:
    gateway: Schema = {
        "group": {
            "type": "string",
            "maxLength": 253,
            "pattern": rf"^$|^{_DOMAIN}$",
            "default": "gateway.networking.k8s.io",
        },
        "kind": {"type": "string", "minLength": 1, "maxLength": 63, "pattern": _KIND, "default": "Gateway"},
        "name": {"type": "string", "minLength": 1, "maxLength": 253},
        "namespace": {"type": "string", "minLength": 1, "maxLength": 63, "pattern": f"^{_LABEL}$"},
    }
    properties: Schema = {
        "parentRef": {"type": "object", "required": ["name"], "properties": gateway},
        "conditions": _conditions("Accepted" if pending_by_default else None),
    }
    if controllers:
        properties["controllerName"] = {"type": "string", "minLength": 1, "maxLength": 253, "pattern": _DOMAIN_PATH}
    return {
        "type": "array",
        "maxItems": 32,
        "x-kubernetes-list-type": "atomic",
        "items": {
            "type": "object",
            "description": "The state of the pool as one parent, mostly a Gateway, sees it.",
            "required": ["parentRef"],
            "properties": properties,
        },
    }


def condition_status(default: str) -> Schema:
    """Return the status of a kind that has only conditions, with one of type ``default`` until there are others."""
    return {"type": "object", "properties": {"conditions": _conditions(default)}}


POOL_STATUS: Schema = {
    "type": "object",
    "properties": {"parents": _parents(pending_by_default=False, controllers=True)},
}
"""The status of an InferencePool in v1."""

OLD_POOL_STATUS: Schema = {
    "type": "object",
    "properties": {"parent": _parents(pending_by_default=True, controllers=False)},
    "default": {"parent": [{"parentRef": {"kind": "Status", "name": "default"}, "conditions": [pending("Accepted")]}]},
}
"""The status of an InferencePool in v1alpha2; its default names a parent that does not exist."""

IMPORT_STATUS: Schema = {
    "type": "object",
    "required": ["controllers"],
    "properties": {
        "controllers": {
            "type": "array",
            "maxItems": 8,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "description": "What one multi-cluster controller knows of the exported pool.",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "minLength": 1, "maxLength": 253, "pattern": _DOMAIN_PATH},
                    "exportingClusters": {
                        "type": "array",
                        "x-kubernetes-list-type": "atomic",
                        "items": {
                            "type": "object",
                            "required": ["name"],
                            "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 253}},
                        },
                    },
                    "parents": _parents(pending_by_default=False, controllers=True),
                    "conditions": _conditions(),
                },
            },
        }
    },
}
"""The status of an InferencePoolImport, which has nothing else."""
