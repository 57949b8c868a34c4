"""Builders shared by the tests: Kubernetes objects in one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from signalbox.pool import Pool, Readings
from signalbox.resources import Origin, Resource, Skipped, parse_resource

# Tests give the same verdict every time on every machine: the same examples, and no clock. `make fuzz` explores.
settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("repeatable")

EXPERIMENTAL = "inference.networking.x-k8s.io/v1alpha2"


def parsed(document: Mapping[str, Any]) -> Any:
    """Parse a document that must be a resource."""
    resource = parse_resource(document, Origin("test.yaml", 1, 1), None)
    assert not isinstance(resource, Skipped)
    return resource


class Objects:
    """Kubernetes objects for a pool ``pool`` that selects ``app: llm``."""

    def pool(self, name: str = "pool", *, ports: tuple[int, ...] = (8000,), namespace: str = "default") -> Any:
        """An InferencePool v1."""
        return parsed(
            {
                "apiVersion": "inference.networking.k8s.io/v1",
                "kind": "InferencePool",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {
                    "selector": {"matchLabels": {"app": "llm"}},
                    "targetPorts": [{"number": port} for port in ports],
                    "endpointPickerRef": {"name": "epp", "port": {"number": 9002}},
                },
            }
        )

    def pod(
        self,
        name: str,
        ip: str,
        *,
        ready: bool = True,
        labels: Mapping[str, str] | None = None,
        namespace: str = "default",
        terminating: bool = False,
        annotations: Mapping[str, str] | None = None,
    ) -> Any:
        """A Pod."""
        metadata: dict[str, Any] = {
            "name": name,
            "namespace": namespace,
            "labels": dict(labels or {"app": "llm"}),
        }
        if annotations:
            metadata["annotations"] = dict(annotations)
        if terminating:
            metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        condition = {"type": "Ready", "status": "True" if ready else "False"}
        return parsed(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": metadata,
                "status": {"podIP": ip, "conditions": [condition]},
            }
        )

    def model(
        self,
        model_name: str,
        targets: tuple[tuple[str, int | None], ...] = (),
        *,
        criticality: str | None = None,
        name: str | None = None,
        pool: str = "pool",
        created: str | None = None,
    ) -> Any:
        """An InferenceModel."""
        spec: dict[str, Any] = {"modelName": model_name, "poolRef": {"name": pool}}
        if criticality is not None:
            spec["criticality"] = criticality
        if targets:
            spec["targetModels"] = [
                {"name": target} if weight is None else {"name": target, "weight": weight} for target, weight in targets
            ]
        metadata = {"name": name or model_name}
        if created is not None:
            metadata["creationTimestamp"] = created
        return parsed({"apiVersion": EXPERIMENTAL, "kind": "InferenceModel", "metadata": metadata, "spec": spec})

    def objective(self, name: str, priority: int | None) -> Any:
        """An InferenceObjective."""
        spec: dict[str, Any] = {"poolRef": {"name": "pool"}}
        if priority is not None:
            spec["priority"] = priority
        return parsed(
            {"apiVersion": EXPERIMENTAL, "kind": "InferenceObjective", "metadata": {"name": name}, "spec": spec}
        )

    def rewrite(
        self, name: str, *rules: tuple[tuple[str, ...], tuple[tuple[str, int], ...]], created: str | None = None
    ) -> Any:
        """An InferenceModelRewrite; each rule is (names it matches, weighted targets)."""
        metadata = {"name": name}
        if created is not None:
            metadata["creationTimestamp"] = created
        return parsed(
            {
                "apiVersion": EXPERIMENTAL,
                "kind": "InferenceModelRewrite",
                "metadata": metadata,
                "spec": {
                    "poolRef": {"name": "pool"},
                    "rules": [
                        {
                            "matches": [{"model": {"type": "Exact", "value": value}} for value in matches],
                            "targets": [{"modelRewrite": target, "weight": weight} for target, weight in targets],
                        }
                        for matches, targets in rules
                    ],
                },
            }
        )


@pytest.fixture
def objects() -> Objects:
    """Builders of Kubernetes objects."""
    return Objects()


BuildPool = Callable[..., Pool]


@pytest.fixture
def build_pool(objects: Objects) -> BuildPool:
    """Build a pool of pods 192.168.1.1, .2, ... from their readings ``(waiting, kv_usage, active adapters)``."""

    def build(*pods: tuple[float, float, set[str]], lora_max: int = 0, resources: tuple[Resource, ...] = ()) -> Pool:
        pool = Pool("pool")
        pool.set_pool(objects.pool())
        for index in range(len(pods)):
            pool.put(objects.pod(f"pod-{index}", f"192.168.1.{index + 1}"))
        for endpoint, (waiting, kv_usage, adapters) in zip(pool.endpoints, pods, strict=True):
            readings = Readings(waiting=waiting, kv_usage=kv_usage, lora_active=frozenset(adapters), lora_max=lora_max)
            pool.record(endpoint, readings, pool.begin_scrape(endpoint), now=0.0)
        for resource in resources:
            pool.put(resource)  # type: ignore[arg-type]
        return pool

    return build
