"""How many requests on our account a server has not shown for a while.

An account can be wrong for good. The end of a request can be lost, a proxy can keep a stream open behind a client
that stopped reading, a prefill server is done long before the answer ends. Such requests would make their endpoint
look busy for as long as the picker runs. The server knows better: what it reports as running and waiting includes
every request of ours that it still has.

For one scrape let n be our requests in flight when it began, r what it reported, and e = n - r. Some of the n may be
on their way, or may have ended while the page was written, so that one e above zero proves nothing. But a request
that is really there is in r every time, and one on its way is in r at the next scrape. So the smallest e over a period
that is long against the time a request travels counts only what stayed away: g = min e over the last period, which
is at least one and at most two times ``PERIOD`` long, and 0 until a whole period has shown nothing but e > 0. Others'
requests are in r as well and can only make g smaller.

g is a correction beside the account and never a change of it: charges take off exactly what they put on, g is read
as ``max(inflight - g, 0)``, rises only after a period of evidence, falls with the first scrape that shows more, and
is 0 where nothing is in flight. A request that is yet to reach the server it is charged to, because another one
computes its prompt first, is unseen too once that takes a period: it is counted again when the server shows it.

The smallest value over a sliding period is kept as two: of the period under way and of the one before.
"""

from __future__ import annotations

from signalbox.pool.columns import Columns

PERIOD = 2.0
"""Seconds. A scrape is at most a second apart from the next, so that a period has two at least."""


class _Watch:
    """An endpoint that shows less than we count."""

    __slots__ = ("before", "low", "since")

    def __init__(self, since: float, low: float) -> None:
        self.since = since
        self.low = low
        """The smallest excess of the period under way."""
        self.before = 0.0
        """The smallest excess of the period before; 0 while there was none."""


class Unseen:
    """Writes the column ``unseen``. Only endpoints that show too little cost anything here."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._watches: dict[int, _Watch] = {}

    def compare(self, row: int, counted: float, reported: float, now: float) -> None:
        """A scrape that began with ``counted`` requests in flight reported ``reported``, running and waiting."""
        excess = counted - reported
        if excess <= 0 or not self._columns.inflight[row]:  # the last one may have ended while the page was read
            if self._watches:
                self.forget(row)
            return
        watch = self._watches.get(row)
        if watch is None:
            self._watches[row] = _Watch(now, excess)
            return
        if now - watch.since >= PERIOD:
            watch.since, watch.before, watch.low = now, watch.low, excess
        else:
            watch.low = min(watch.low, excess)
        self._columns.set_unseen(row, min(watch.before, watch.low))

    def forget(self, row: int) -> None:
        """Nothing is missing at ``row``, or nothing is in flight to it."""
        if self._watches.pop(row, None) is not None:
            self._columns.set_unseen(row, 0.0)
