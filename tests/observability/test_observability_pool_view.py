"""A live pool as the metrics see it."""

from __future__ import annotations

from typing import Any

from signalbox.observability import PoolView, ReportedLoad, ServerLoad
from signalbox.pool import Pool, Readings
from signalbox.resources import InferencePool, Origin, Pod, parse_resource

ORIGIN = Origin("test.yaml", 1, 1)


def pod(name: str, ip: str) -> Pod:
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "vllm"}},
        "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": "True"}]},
    }
    parsed = parse_resource(document, ORIGIN)
    assert isinstance(parsed, Pod)
    return parsed


def live_pool(*ports: int) -> Pool:
    spec = parse_resource(
        {
            "apiVersion": "inference.networking.k8s.io/v1",
            "kind": "InferencePool",
            "metadata": {"name": "llama"},
            "spec": {
                "selector": {"matchLabels": {"app": "vllm"}},
                "targetPorts": [{"number": port} for port in ports],
                "endpointPickerRef": {"name": "epp", "port": {"number": 9002}},
            },
        },
        ORIGIN,
    )
    assert isinstance(spec, InferencePool)
    pool = Pool("llama")
    pool.set_pool(spec)
    return pool


def test_it_shows_what_ready_endpoints_reported() -> None:
    pool = live_pool(8000)
    pool.put(pod("a", "10.0.0.1"))
    pool.put(pod("b", "10.0.0.2"))
    reporting = next(endpoint for endpoint in pool.endpoints if endpoint.pod == "a")
    pool.record(reporting, Readings(waiting=3, running=5, kv_usage=0.25), pool.begin_scrape(reporting), 1.0)
    pool.acquire(reporting, 100)
    view: PoolView = ReportedLoad(pool)
    assert view.name == "llama"
    assert sorted(view.loads(), key=lambda load: load.name) == [
        ServerLoad("a", "a", scraped=True, waiting=3, running=5, kv_usage=0.25),
        ServerLoad("b", "b", scraped=False, waiting=0, running=0, kv_usage=0),
    ]


def test_each_port_of_a_pod_is_an_endpoint_of_its_own() -> None:
    pool = live_pool(8000, 8001)
    view = ReportedLoad(pool)
    assert view.loads() == []
    pool.put(pod("a", "10.0.0.1"))
    assert sorted((load.name, load.pod) for load in view.loads()) == [("a-rank-0", "a"), ("a-rank-1", "a")]
