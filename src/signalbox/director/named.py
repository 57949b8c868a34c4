"""The endpoints of a decision, as they are told to the proxy."""

from __future__ import annotations

from signalbox.pool import Endpoint, Pool

_MOST = 1024


class Choice:
    """The endpoints of a decision. Not to be changed: it is remembered."""

    __slots__ = ("destination", "fallbacks", "first")

    def __init__(self, first: Endpoint, fallbacks: tuple[Endpoint, ...]) -> None:
        self.first = first
        self.fallbacks = fallbacks
        self.destination = ",".join([first.address, *[endpoint.address for endpoint in fallbacks]])
        """All their addresses as a proxy reads them, best first."""


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
            known = self._known[rows] = Choice(first, tuple(others))
        return known
