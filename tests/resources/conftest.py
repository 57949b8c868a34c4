"""Builders of documents, and what the parser says about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import pytest

from signalbox.resources import InvalidResource, Origin, parse_resource

EXPERIMENTAL = "inference.networking.x-k8s.io/v1alpha2"
CONTAINER = {"name": "vllm", "image": "vllm/vllm-openai:latest"}

DOCUMENTS: dict[str, dict[str, Any]] = {
    "pool": {
        "apiVersion": "inference.networking.k8s.io/v1",
        "kind": "InferencePool",
        "metadata": {"name": "llama"},
        "spec": {
            "selector": {"matchLabels": {"app": "llama"}},
            "targetPorts": [{"number": 8000}],
            "endpointPickerRef": {"name": "epp", "port": {"number": 9002}},
        },
    },
    "old pool": {
        "apiVersion": EXPERIMENTAL,
        "kind": "InferencePool",
        "metadata": {"name": "llama"},
        "spec": {"selector": {"app": "llama"}, "targetPortNumber": 8000, "extensionRef": {"name": "epp"}},
    },
    "import": {
        "apiVersion": "inference.networking.x-k8s.io/v1alpha1",
        "kind": "InferencePoolImport",
        "metadata": {"name": "llama"},
    },
    "model": {
        "apiVersion": EXPERIMENTAL,
        "kind": "InferenceModel",
        "metadata": {"name": "review"},
        "spec": {"modelName": "food-review", "poolRef": {"name": "llama"}},
    },
    "objective": {
        "apiVersion": EXPERIMENTAL,
        "kind": "InferenceObjective",
        "metadata": {"name": "batch"},
        "spec": {"poolRef": {"name": "llama"}},
    },
    "rewrite": {
        "apiVersion": EXPERIMENTAL,
        "kind": "InferenceModelRewrite",
        "metadata": {"name": "canary"},
        "spec": {"poolRef": {"name": "llama"}, "rules": [{"targets": [{"modelRewrite": "v2"}]}]},
    },
    "gateway": {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "front"},
        "spec": {"gatewayClassName": "kgateway", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
    },
    "route": {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "llm"},
        "spec": {
            "parentRefs": [{"name": "front"}],
            "rules": [
                {
                    "backendRefs": [
                        {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": "llama"},
                    ]
                }
            ],
        },
    },
    "deployment": {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "vllm"},
        "spec": {
            "selector": {"matchLabels": {"app": "llama"}},
            "template": {"metadata": {"labels": {"app": "llama"}}, "spec": {"containers": [CONTAINER]}},
        },
    },
    "pod": {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "vllm-0"},
        "spec": {"containers": [CONTAINER]},
        "status": {"podIP": "127.0.1.1", "conditions": [{"type": "Ready", "status": "True"}]},
    },
    "config map": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "adapters"}, "data": {"a.yaml": "x"}},
    "service": {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "epp"},
        "spec": {"selector": {"app": "epp"}, "ports": [{"port": 9002}]},
    },
}
"""A small valid document of each kind."""

ABSENT = object()
Changes = Mapping[str, Any]


def changed(which: str, changes: Changes) -> dict[str, Any]:
    """A copy of a document with dotted paths set to new values, or taken away where the value is ABSENT."""
    document = deepcopy(DOCUMENTS[which])
    for path, value in changes.items():
        target: Any = document
        parts = [int(part) if part.isdigit() else part for part in path.split(".")]
        for part in parts[:-1]:
            target = target[part] if isinstance(part, int) else target.setdefault(part, {})
        if value is ABSENT:
            del target[parts[-1]]
        else:
            target[parts[-1]] = value
    return document


class Documents:
    """The documents above, parsed as they are or with changes."""

    ABSENT = ABSENT
    names = tuple(DOCUMENTS)

    def text(self, which: str, **changes: Any) -> dict[str, Any]:
        """The document, with changes given as ``spec__replicas=3``."""
        return changed(which, {path.replace("__", "."): value for path, value in changes.items()})

    def read(self, which: str, changes: Changes | None = None) -> Any:
        """The object; any problem fails the test."""
        return parse_resource(changed(which, changes or {}), Origin("a.yaml", 1, 1))

    def complaints(self, which: str, changes: Changes) -> list[str]:
        """What is said about the document: ``FIELD: MESSAGE; FIX`` for each problem."""
        with pytest.raises(InvalidResource) as raised:
            parse_resource(changed(which, changes), Origin("a.yaml", 1, 1))
        return [f"{problem.field}: {problem.message}; {problem.fix}" for problem in raised.value.problems]


@pytest.fixture
def documents() -> Documents:
    """Documents of every kind."""
    return Documents()


Complain = Callable[[str, Changes], list[str]]


@pytest.fixture
def complaints(documents: Documents) -> Complain:
    """What the parser says about a changed document."""
    return documents.complaints
