"""When each server's metrics are read, and what becomes of a reading: late, later, lost."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from signalbox.lab.workload import mixed

_UNIT = 1 / (1 << 64)


@dataclass(frozen=True, slots=True)
class Scraping:
    """How metrics reach the picker. Times in seconds."""

    interval: float = 0.05
    """From the beginning of one scrape of a server to the next, or the longest a scrape can take where that is more."""
    delay: float = 0.005
    """From its beginning to the moment the picker knows the answer; the server reads its gauges halfway."""
    jitter: float = 0.0
    """Up to so much is added to the delay, evenly spread."""
    loss: float = 0.0
    """The share of scrapes that fail, 0 to 1. A failed scrape takes as long as one that succeeds."""
    of_batch: bool = False
    """Whether a server tells its queue as of the beginning of the batch in progress, or as of the moment. vLLM counts
    once in a step."""

    @property
    def period(self) -> float:
        """From one scrape of a server to the next: it is not asked again before it has answered."""
        return max(self.interval, self.delay + self.jitter)

    def __post_init__(self) -> None:
        if not 0 < self.interval < math.inf:
            raise ValueError(f"--scrape-interval: {self.interval:g} s is not positive and finite")
        for name, value in (("delay", self.delay), ("jitter", self.jitter)):
            if not 0 <= value < math.inf:
                raise ValueError(f"--scrape-{name}: {value:g} s is negative or not finite")
        if not 0 <= self.loss <= 1:
            raise ValueError(f"--scrape-loss: {self.loss:g} is outside 0 to 1")


class Moment(NamedTuple):
    """Something that happens to scrape ``number`` at ``time``."""

    time: float
    what: int
    number: int


BEGIN, READ, RECORD, FAIL = range(4)


class ScrapeTimes:
    """The scrapes of one server. The same numbers give the same times.

    Nobody looks at the pool between two decisions, so of the scrapes that begin and end between two only the last good
    one counts, and how many failed after it. `moments` leaves the others out unless it is to name ``every`` one.
    """

    def __init__(self, scraping: Scraping, server: int, since: float, seed: int) -> None:
        self._scraping = scraping
        self._key = mixed(mixed(seed) + server)
        self._period = scraping.period
        self._phase = since + self._random(-1) * self._period
        self._settled = -1  # the last scrape whose end was told
        self._begun = -1  # the last scrape whose beginning was told
        self._read = -1

    def moments(self, until: float, *, every: bool) -> Iterator[Moment]:
        """What happens from where the last call stopped up to ``until``, in order."""
        latest = int((until - self._phase) // self._period)
        if latest < 0:
            return
        over = latest if self._end(latest) <= until else latest - 1
        good = over
        while good > self._settled and self._lost(good):
            good -= 1
        first = self._settled + 1 if every else max(good, self._settled + 1)
        for number in range(first, over + 1):
            yield from self._told(number, until)
        self._settled = max(self._settled, over)
        if latest > over:
            yield from self._told(latest, until)

    @property
    def of_batch(self) -> bool:
        """See `Scraping.of_batch`."""
        return self._scraping.of_batch

    @property
    def next_end(self) -> float:
        """When the next scrape ends of which `moments` has not told yet, good or failed."""
        return self._end(self._settled + 1)

    def _told(self, number: int, until: float) -> Iterator[Moment]:
        lost = self._lost(number)
        begin, end = self._begin(number), self._end(number)
        if number > self._begun and not lost:
            self._begun = number
            yield Moment(begin, BEGIN, number)
        middle = (begin + end) / 2
        if number > self._read and middle <= until and not lost:
            self._read = number
            yield Moment(middle, READ, number)
        if end <= until:
            yield Moment(end, FAIL if lost else RECORD, number)

    def _begin(self, number: int) -> float:
        return self._phase + number * self._period

    def _end(self, number: int) -> float:
        late = self._scraping.jitter * self._random(2 * number) if self._scraping.jitter else 0.0
        return self._begin(number) + self._scraping.delay + late

    def _lost(self, number: int) -> bool:
        return self._scraping.loss > 0 and self._random(2 * number + 1) < self._scraping.loss

    def _random(self, number: int) -> float:
        """A number from 0 to 1 that depends on nothing but the seed, the server and ``number``."""
        return mixed(self._key ^ mixed(number & 0xFFFF_FFFF_FFFF)) * _UNIT
