"""What fairness, ordering and usage limit plugins return, checked. What waits is never lost by what they do."""

from __future__ import annotations

import math
from collections.abc import Collection
from numbers import Real
from typing import Any

from signalbox.scheduling.queueing import Rota


def check_rota(name: str, rota: Any) -> Rota:
    """Return the rota. Raises TypeError for what is none."""
    if not isinstance(rota, Rota):
        raise TypeError(f"{name} returned a {type(rota).__name__}, where a Rota was asked for")
    return rota


def check_flow(name: str, flow: Any, waiting: Collection[str]) -> str:
    """Return the flow that goes next. Raises ValueError for one of which nobody waits."""
    if not isinstance(flow, str) or flow not in waiting:
        raise ValueError(f"{name} named the flow {flow!r}, of which nobody waits")
    return flow


def check_key(name: str, key: Any) -> float:
    """Return what to sort a request by. Raises TypeError for what is no number, ValueError for nan."""
    number = _number(name, key)
    if math.isnan(number):
        raise ValueError(f"{name} returned nan, which sorts nowhere")
    return number


def check_ceilings(name: str, ceilings: Any, count: int) -> list[float]:
    """Return the ceilings of ``count`` bands. Raises TypeError for what is no number, ValueError for nan and for more
    or fewer than there are bands."""
    numbers = [_number(name, ceiling) for ceiling in ceilings]
    if len(numbers) != count or any(math.isnan(number) for number in numbers):
        raise ValueError(f"{name} returned the ceilings {numbers}, where {count} numbers were asked for")
    return numbers


def _number(name: str, value: Any) -> float:
    if type(value) is float:
        return value
    if not isinstance(value, Real):
        raise TypeError(f"{name} returned a {type(value).__name__}, where a number was asked for")
    return float(value)
