"""Who is refused, and when."""

from __future__ import annotations

import random
from typing import Any

import pytest

from signalbox.admission import SheddableGate
from signalbox.scheduling import Cycle
from signalbox.scheduling.filters import HasCapacity

FULL: list[tuple[float, float, set[str]]] = [(6, 0.2, set()), (0, 0.85, set()), (10, 0.9, set())]
ONE_HAS_ROOM: list[tuple[float, float, set[str]]] = [(4, 0.2, set()), (0, 0.85, set()), (10, 0.9, set())]


@pytest.mark.parametrize(
    ("priority", "pods", "admitted"),
    [
        (1, FULL, True),
        (0, FULL, True),
        (-1, FULL, False),
        (-1, ONE_HAS_ROOM, True),
        (-7, FULL, False),
        (0, ONE_HAS_ROOM, True),
    ],
)
def test_only_sheddable_requests_are_refused_and_only_without_capacity(
    build_pool: Any, priority: int, pods: list[tuple[float, float, set[str]]], admitted: bool
) -> None:
    pool = build_pool(*pods)
    shed = SheddableGate(HasCapacity()).admit(Cycle("m", priority, pool.columns, random.Random(1)), pool.rows)
    assert (shed is None) is admitted


def test_a_refusal_says_why_and_when_to_come_back(build_pool: Any) -> None:
    pool = build_pool(*FULL)
    shed = SheddableGate(HasCapacity(), retry_after=3).admit(Cycle("m", -1, pool.columns, random.Random(1)), pool.rows)
    assert shed is not None
    assert shed.retry_after == 3
    assert shed.reason == (
        "all 3 endpoints have more than 5 requests waiting or more than 80% of their KV cache in use,"
        " and this request is sheddable"
    )
