"""Servers that failed the last request sent to them, as a reason to let nobody go.

A request that fails makes room like one that is served. Without a doubt those who wait would follow it, one after the
other and within milliseconds, to a server that has died and is not known to have.
"""

from __future__ import annotations

from signalbox.pool import Pool

LONGEST = 1.0
"""Seconds after which a server is tried again, though no scrape of it was good meanwhile: metrics that cannot be read
must not stop a server that works."""

_NOBODY_ANSWERED = frozenset({502, 503, 504})
"""What a proxy answers for a server that it cannot reach or that breaks off."""


class Doubts:
    """Which endpoints of a pool are doubted, and since when. A good scrape or an answer ends a doubt."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._since: dict[str, float] = {}

    def ended(self, address: str, status: int | None, now: float) -> None:
        """A request to the server at ``address`` ended with ``status``; ``None`` where none was seen."""
        if status in _NOBODY_ANSWERED:
            self._since[address] = now
        elif status is not None and self._since:
            self._since.pop(address, None)

    def everybody(self, now: float) -> bool:
        """Return whether there are endpoints and all of them are doubted."""
        if not self._since:
            return False
        endpoints, scraped_at = self._pool.endpoints, self._pool.columns.scraped_at
        if len(self._since) < len(endpoints):  # one bad server costs a large pool no walk
            return False
        still: dict[str, float] = {}
        for endpoint in endpoints:
            since = self._since.get(endpoint.address)
            if since is not None and scraped_at[endpoint.row] <= since and now < since + LONGEST:
                still[endpoint.address] = since
        self._since = still
        return bool(still) and len(still) == len(endpoints)

    def due(self, now: float) -> float | None:
        """Return when somebody may go though nothing happens, where all are doubted."""
        return min(self._since.values()) + LONGEST if self.everybody(now) else None
