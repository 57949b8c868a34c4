"""How often to poll, so that polling as a whole stays cheap."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")

INTERVAL = 0.05
"""Seconds between two polls of an endpoint, unless asked otherwise."""
CPU_BUDGET = 0.5
"""Cores polling may use as a whole."""
SLOWEST = 1.0
"""Seconds between two polls of an endpoint that polling is never stretched beyond."""


def stretched(interval: float, endpoints: int, cost: float, budget: float = CPU_BUDGET) -> float:
    """The interval in seconds at which ``endpoints`` polls of ``cost`` CPU seconds each use at most ``budget`` cores.

    ``endpoints * cost / interval <= budget`` solved for the interval; never shorter than the one asked for, and never
    stretched beyond one second, where signals are too old to be of use.
    """
    return max(interval, min(SLOWEST, endpoints * cost / budget))


class PollCost:
    """What one poll costs in CPU seconds, as a moving average that a few odd polls do not bend.

    The process serves requests too, so its CPU time says little about polling. What is timed are the steps of the
    polls' own tasks. The event loop's share for them (select, the HTTP parser called from it) is not in those steps:
    ``OUTSIDE`` covers it, the ratio of process time to step time in a process that does nothing but poll.
    """

    OUTSIDE = 1.5
    _WEIGHT = 0.02

    def __init__(self, first_guess: float = 0.0005) -> None:
        self.seconds = first_guess

    def add(self, steps: float) -> None:
        """Count one poll whose task ran for ``steps`` seconds in all."""
        self.seconds += self._WEIGHT * (self.OUTSIDE * min(steps, 0.02) - self.seconds)


class Metered(Generic[T]):
    """Awaits a coroutine and counts the CPU seconds its steps take."""

    def __init__(self, work: Coroutine[Any, Any, T], timer: Callable[[], float] = time.thread_time) -> None:
        self._work = work
        self._timer = timer
        self.seconds = 0.0

    def __await__(self) -> Generator[Any, Any, T]:
        resume: Callable[[], Any] = lambda: self._work.send(None)  # noqa: E731
        while True:
            start = self._timer()
            try:
                awaited = resume()
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            finally:
                self.seconds += self._timer() - start
            try:
                value = yield awaited
            except BaseException as error:  # a cancellation or a failed future: the coroutine's to handle
                thrown = error
                resume = lambda: self._work.throw(thrown)  # noqa: B023, E731
            else:
                resume = lambda: self._work.send(value)  # noqa: B023, E731
