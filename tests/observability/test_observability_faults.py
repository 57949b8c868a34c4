"""What is not as it should be, as metrics."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry

from signalbox.observability import FaultCollector
from signalbox.pool import Pool


def scraped(pool: Pool, **fields: Any) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(
        FaultCollector(
            pool,
            lambda: fields.get("refused", 0),
            lambda: fields.get("configuration_refused", False),
            lambda: fields.get("faults", {}),
        )
    )
    return registry


GAUGES = ("left_out_pods", "refused_objects", "overruled_objects", "configuration_refused")


def test_all_is_well(build_pool: Any) -> None:
    registry = scraped(build_pool((0, 0, set())))
    assert {name: registry.get_sample_value(f"signalbox_{name}", {"name": "pool"}) for name in GAUGES} == dict.fromkeys(
        GAUGES, 0.0
    )


def test_each_trouble_has_its_number(build_pool: Any, objects: Any) -> None:
    pool = build_pool((0, 0, set()), resources=(objects.model("m", name="a"), objects.model("m", name="b")))
    pool.put(objects.pod("starting", "192.168.1.9", ready=False))
    pool.put(objects.pod("somebody-else", "192.168.1.10", labels={"app": "other"}))
    registry = scraped(pool, refused=2, configuration_refused=True, faults={"my-scorer": 7})
    found = {name: registry.get_sample_value(f"signalbox_{name}", {"name": "pool"}) for name in GAUGES}
    assert found == {
        "left_out_pods": 1.0,  # the one the pool does not select may not be meant to be an endpoint
        "refused_objects": 2.0,
        "overruled_objects": 1.0,
        "configuration_refused": 1.0,
    }
    assert registry.get_sample_value("signalbox_plugin_faults_total", {"plugin": "my-scorer"}) == 7.0


def test_it_reads_when_it_is_scraped(build_pool: Any, objects: Any) -> None:
    pool = build_pool((0, 0, set()))
    registry = scraped(pool)
    pool.put(objects.pod("starting", "192.168.1.9", ready=False))
    assert registry.get_sample_value("signalbox_left_out_pods", {"name": "pool"}) == 1.0
