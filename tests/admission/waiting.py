"""Queues and turns in one line each."""

from __future__ import annotations

from typing import Any

from signalbox.admission.flow import BandSettings, Flow, FlowQueues, FlowSettings, Turn
from signalbox.scheduling.ceilings import StaticUsageLimit
from signalbox.scheduling.fairness import GlobalStrict, RoundRobin
from signalbox.scheduling.ordering import FirstComeFirstServed


def band(
    requests: int | None = None, size: int | None = None, fairness: Any = None, ordering: Any = None
) -> BandSettings:
    """Limits and policies; flows do not count and whoever came first goes first."""
    return BandSettings(size, requests, fairness or GlobalStrict(), ordering or FirstComeFirstServed())


def turns_band(**limits: Any) -> BandSettings:
    """A band whose flows take turns."""
    return band(fairness=RoundRobin(), **limits)


def queues(
    bands: dict[int, BandSettings] | None = None, *, default: BandSettings | None = None, **settings: Any
) -> FlowQueues:
    """Queues without limits, in which nobody's time runs out."""
    template = default or band()
    settings = {"negative": template, "usage_limit": StaticUsageLimit(), **settings}
    return FlowQueues(FlowSettings(default=template, bands=bands or {}, **settings))


def turn(flow: str = "", priority: int = 0, *, arrived: float = 0.0, size: int = 1, slo: float | None = None) -> Turn:
    """A request that may wait; ``payload`` names it."""
    return Turn(Flow(flow, priority), size, arrived, slo, payload=f"{flow}{priority:+d}@{arrived:g}")


def put(waiting: FlowQueues, *turns: Turn) -> None:
    """Queue all, each when it arrives."""
    for one in turns:
        assert waiting.offer(one, one.arrived) is None


def order(waiting: FlowQueues, saturation: float = 0.0, now: float = 100.0) -> list[str]:
    """Take out everybody who may go, and return their names."""
    found = []
    while (one := waiting.next(now, saturation)) is not None:
        found.append(one.payload)
    return found
