"""The endpoints of a decision, as they are told to the proxy."""

from __future__ import annotations

from signalbox.pool import Endpoint, Pool

_MOST = 1024

Choice = tuple[Endpoint, tuple[Endpoint, ...], str]
"""The first choice, its fallbacks, and all their addresses as a proxy reads them."""


class Named:
    """Names endpoints, and remembers how: over a few of them the same decisions come again and again."""

    def __init__(self, pool: Pool, most: int | None) -> None:
        """At most ``most`` endpoints are named for a request."""
        self._pool = pool
        self._most = most
        self._known: dict[tuple[int, ...], Choice] = {}
        self._endpoints = pool.endpoints

    def choice(self, rows: tuple[int, ...]) -> Choice:
        """Return the endpoints of ``rows``, which are ready, best first."""
        if self._pool.endpoints is not self._endpoints:
            self._endpoints = self._pool.endpoints
            self._known.clear()
        known = self._known.get(rows)
        if known is None:
            if len(self._known) >= _MOST:
                self._known.clear()
            first, *others = [self._pool.endpoint(row) for row in rows[: self._most]]
            destination = ",".join([first.address, *[endpoint.address for endpoint in others]])
            known = self._known[rows] = first, tuple(others), destination
        return known
