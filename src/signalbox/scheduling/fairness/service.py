"""How much service each client has had lately, and how long it waited for it."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from hashlib import blake2b

import msgspec

MOST = 100_000
"""Clients remembered at once; beyond them the one served longest ago is forgotten. About 30 MB."""
LONGEST = 64
"""Characters of a name that are kept; of a longer one, which a client may send to fill the memory, a hash is."""


class Client(msgspec.Struct):
    """What is known of one client."""

    level: float = -math.inf
    """The binary logarithm of its service in tokens, plus the half-lives that had passed; see `AttainedService`."""
    served_at: float = 0.0
    """When a request of it last ended or left the queue, in seconds."""
    waits: int = 0
    """Requests of it that have left the queue for a server."""
    waited: float = 0.0
    """How long they had been there, in seconds, all together."""

    @property
    def average(self) -> float:
        """How long they had been there on average; 0 where none was."""
        return self.waited / self.waits if self.waits else 0.0


class AttainedService:
    """Service by client, which fades: after every half-life half of it counts.

    As everybody's fades alike, what is kept does not change with time: the level of a client is above another's if and
    only if it has had more service, at any time.
    """

    def __init__(self, half_life: float, ttl: float, sweep: float) -> None:
        """All in seconds: the half-life, after how long a client is forgotten (0 for never), and how often those are
        looked for."""
        self._half_life = half_life
        self._ttl = ttl
        self._sweep = sweep
        self._swept = -math.inf
        self._clients: OrderedDict[str, Client] = OrderedDict()
        self._waiters = 0
        self._averages = 0.0
        self._squares = 0.0

    def __len__(self) -> int:
        return len(self._clients)

    def latest(self) -> Iterator[tuple[str, Client]]:
        """The clients, from the one served last to the one served longest ago."""
        return iter(reversed(self._clients.items()))

    def level(self, client: str) -> float:
        """Return the level of a client; minus infinity for one that has had nothing."""
        found = self._clients.get(_short(client))
        return -math.inf if found is None else found.level

    def tokens(self, client: str, now: float) -> float:
        """Return the service a client has had, in tokens as they count at ``now``."""
        return self._tokens(self.level(client), now)

    def jain(self) -> float:
        """Return Jain's index of how equally long clients waited on average: 1 for all alike, ``1 / n`` where one of
        ``n`` waited and the others did not. 1 for fewer than two clients.

        Source: R. Jain, D. Chiu, W. Hawe, A Quantitative Measure of Fairness, 1984: ``sum(x)^2 / (n * sum(x^2))``.
        """
        if self._waiters < 2 or self._squares <= 0:
            return 1.0
        return min(1.0, self._averages**2 / (self._waiters * self._squares))

    def add(self, client: str, tokens: float, now: float) -> None:
        """A client has been served with so many tokens, 0 or more."""
        known = self._known(client, now)
        whole = self._tokens(known.level, now) + tokens
        known.level = math.log2(whole) + now / self._half_life if whole > 0 else -math.inf
        if now - self._swept >= self._sweep:
            self._swept = now
            # Ordered by when they were last served: the first who is remembered ends the search.
            while self._ttl and self._clients and now - next(iter(self._clients.values())).served_at > self._ttl:
                self._forget_first()

    def waited(self, client: str, seconds: float, now: float) -> None:
        """A request of a client has left the queue for a server, after so long."""
        known = self._known(client, now)
        self._count(known, -1)
        known.waits += 1
        known.waited += max(0.0, seconds)
        self._count(known, 1)

    def adopt(self, previous: AttainedService) -> None:
        """Go on from what ``previous`` knows."""
        self._clients, self._swept = previous._clients, previous._swept
        self._waiters, self._averages, self._squares = previous._waiters, previous._averages, previous._squares

    def _known(self, client: str, now: float) -> Client:
        name = _short(client)
        known = self._clients.get(name)
        if known is None:
            known = self._clients[name] = Client()
            if len(self._clients) > MOST:
                self._forget_first()
        else:
            self._clients.move_to_end(name)
        known.served_at = now
        return known

    def _forget_first(self) -> None:
        _, known = self._clients.popitem(last=False)
        self._count(known, -1)

    def _count(self, known: Client, sign: int) -> None:
        if known.waits:
            self._waiters += sign
            self._averages += sign * known.average
            self._squares += sign * known.average**2
        if not self._waiters:
            self._averages = self._squares = 0.0  # what rounding left

    def _tokens(self, level: float, now: float) -> float:
        return float(2.0 ** (level - now / self._half_life))


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else blake2b(name.encode(errors="surrogatepass"), digest_size=16).hexdigest()
