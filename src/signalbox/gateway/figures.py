"""What the model servers report, scraped once a second for the table in the terminal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import aiohttp
import msgspec

from signalbox.gateway.members import Member
from signalbox.signals import parse_metrics

INTERVAL = 1.0
"""Seconds between scrapes."""

_TIMEOUT = aiohttp.ClientTimeout(total=2.0)
_FINISHED = b"vllm:request_success_total"


@dataclass(frozen=True, slots=True)
class Figures:
    """One server at one moment; ``None`` where it does not report a figure."""

    waiting: float | None = None
    running: float | None = None
    kv_usage: float | None = None
    """Fraction of the KV blocks in use, 0 to 1."""
    adapters: tuple[str, ...] | None = None
    """The LoRA adapters it lists."""
    models: tuple[str, ...] | None = None
    """All names it lists, adapters too."""
    finished: float | None = None
    """Requests finished since the server started."""
    rate: float | None = None
    """Requests finished per second, since the scrape before."""
    at: float = 0.0


class Scraper:
    """Keeps the newest figures of every ready member, by ``namespace/name``."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        members: Callable[[], Iterable[Member]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._members = members
        self._clock = clock
        self._figures: dict[str, Figures] = {}

    @property
    def figures(self) -> Mapping[str, Figures]:
        """The newest figures."""
        return self._figures

    async def run(self, interval: float = INTERVAL) -> None:
        """Scrape for ever."""
        while True:
            await self.scrape()
            await asyncio.sleep(interval)

    async def scrape(self) -> None:
        """Scrape every ready member once."""
        ready = [member for member in self._members() if member.ready]
        found = await asyncio.gather(*(self._scrape(member) for member in ready))
        self._figures = {f"{member.namespace}/{member.name}": each for member, each in zip(ready, found, strict=True)}

    async def _scrape(self, member: Member) -> Figures:
        page, models = await asyncio.gather(
            self._get(f"http://{member.address}/metrics"), self._get(f"http://{member.address}/v1/models")
        )
        before = self._figures.get(f"{member.namespace}/{member.name}")
        return read_figures(page, models, before, self._clock())

    async def _get(self, url: str) -> bytes | None:
        try:
            async with self._session.get(url, timeout=_TIMEOUT) as response:
                return await response.read() if response.status == 200 else None
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None


def read_figures(page: bytes | None, models: bytes | None, before: Figures | None, now: float) -> Figures:
    """Figures from a metrics page and a ``/v1/models`` answer; ``before`` is the scrape before, for the rate."""
    readings = parse_metrics(page) if page is not None else None
    finished = finished_requests(page) if page is not None else None
    rate = None
    if before and before.finished is not None and finished is not None and now > before.at:
        # A server that was started again counts from zero.
        rate = max(0.0, finished - before.finished) / (now - before.at)
    listed = listed_models(models)
    return Figures(
        waiting=readings.waiting if readings else None,
        running=readings.running if readings else None,
        kv_usage=readings.kv_usage if readings else None,
        adapters=None if listed is None else tuple(name for name, parent in listed if parent),
        models=None if listed is None else tuple(name for name, _ in listed),
        finished=finished,
        rate=rate,
        at=now,
    )


def finished_requests(page: bytes) -> float | None:
    """The sum of ``vllm:request_success_total`` over its labels; ``None`` when the page has no such metric."""
    values = [line.rpartition(b" ")[2] for line in page.splitlines() if line.startswith(_FINISHED)]
    try:
        return sum(map(float, values)) if values else None
    except ValueError:
        return None


def listed_models(answer: bytes | None) -> tuple[tuple[str, str], ...] | None:
    """The ``(id, parent)`` pairs of a ``/v1/models`` answer; a LoRA adapter has its base model as parent, others ""."""
    if answer is None:
        return None
    try:
        entries = msgspec.json.decode(answer)["data"]
        return tuple((str(each["id"]), str(each.get("parent") or "")) for each in entries)
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return None
