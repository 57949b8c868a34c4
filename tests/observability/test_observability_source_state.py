"""How well an API server is followed, as Prometheus sees it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from signalbox.observability import SourceCollector


@dataclass(frozen=True)
class State:
    """One resource."""

    resource: str = "pods"
    objects: int = 3
    stale_seconds: float = 1.5
    lists: int = 2
    events: int = 7


def shown(leads: bool | None) -> list[str]:
    """The series."""
    registry = CollectorRegistry()
    registry.register(SourceCollector(lambda: [State()], lambda: ["one", "two"], lambda: leads))
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def test_each_resource_has_its_series_and_there_is_a_count_of_problems() -> None:
    assert shown(None) == [
        'signalbox_source_stale_seconds{resource="pods"} 1.5',
        'signalbox_source_objects{resource="pods"} 3.0',
        'signalbox_source_lists_total{resource="pods"} 2.0',
        'signalbox_source_events_total{resource="pods"} 7.0',
        "signalbox_source_problems 2.0",
    ]


@pytest.mark.parametrize("leads", [True, False])
def test_with_election_it_says_who_leads(leads: bool) -> None:
    assert shown(leads)[-1] == f"signalbox_leader {float(leads)}"
