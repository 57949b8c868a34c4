"""The latest decisions, kept whole until newer ones push them out.

Keeping one must cost next to nothing, so nothing is formatted here: a record refers to what the decision has made
anyway (its steps, its scores, the ticket), and copies only the columns, which change. `signalbox.observability.
decision_view` makes something readable of a record when somebody asks.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from zlib import crc32

import msgspec

from signalbox.director import Refusal, Ticket
from signalbox.pool import Columns, Endpoint, Pool, Rows
from signalbox.scheduling import Cycle, Decision, Step
from signalbox.scheduling.prefix import PrefixMatch

LONGEST = 256
"""Characters that are kept of a request id or a name; clients choose them, and a thousand are held."""
LONGEST_REASON = 2000
"""The same for a reason, which may quote them."""
WIDE = 128
"""Rows of a pool up to which every decision is kept with its scores. Over more, one in ``rows / WIDE`` is, so that
cost and memory of a decision stay those of a pool of this size."""

REPORTED = ("waiting", "inflight_mark", "kv_usage", "kv_mark", "kv_per_token")
"""Columns that change when an endpoint is scraped."""
OURS = ("inflight", "kv_tokens")
"""Columns that change with every decision."""


class Standing(msgspec.Struct, frozen=True):
    """How the endpoints stood before a decision: columns as the bytes of float64, one for each row of the pool."""

    reported: tuple[bytes, ...]
    """Those named in `REPORTED`; shared by all decisions between two scrapes."""
    ours: tuple[bytes, ...]
    """Those named in `OURS`."""


_BARE = Standing((), ())


class Record(msgspec.Struct, frozen=True):
    """One decision that chose an endpoint."""

    ticket: Ticket
    decision: Decision
    endpoints: Mapping[int, Endpoint]
    """The pool's endpoints at the time, by row."""
    candidates: int
    seconds: float
    """Wall time of the decision."""
    rows: Rows | None
    """The candidates' rows; ``None`` where only the choice was kept."""
    match: PrefixMatch | None
    standing: Standing


Entry = Record | Refusal
Follower = Callable[[Entry], None]


class DecisionLog:
    """A ring of decisions; a `Journal` of the director. Use from one thread only."""

    def __init__(self, pool: Pool, capacity: int = 1000, sample: float = 1.0, rate: float = 100.0) -> None:
        """Keep the latest ``capacity`` decisions (1 or more), of ``sample`` (0 to 1) of all requests.

        Of requests with the same id all are kept or none. Over ``rate`` decisions a second (above 0), further ones are
        not kept, beyond a burst that fills the ring: what a picker spends on keeping them is then the same at any load.
        """
        self.capacity = capacity
        self.sample = sample
        self.rate = rate
        self.passed_over = 0
        """Sampled decisions that were not kept, because there were too many."""
        # A leaky bucket by its virtual time: every decision that is kept moves it on by one interval, and it may run
        # ahead of the clock by as much as a ring of them.
        self._interval = 1.0 / rate
        self._ahead = (capacity - 1) / rate
        self._due = -math.inf
        self._pool = pool
        self._ring: deque[Entry] = deque(maxlen=capacity)
        self._followers: list[Follower] = []
        self._reported: tuple[bytes, ...] = ()
        self._version = -1
        self._credit = 0
        self._nameless = 0

    def __len__(self) -> int:
        return len(self._ring)

    # -- what the director tells --------------------------------------------------------------------------------

    def wants(self, request_id: str, now: float) -> bool:
        """Say whether a request is sampled, and the rate allows for it."""
        if self.sample < 1.0 and not self._sampled(request_id):
            return False
        early = self._due - now
        if early > self._ahead:
            self.passed_over += 1
            return False
        self._due = self._interval + (now if early < 0 else self._due)
        return True

    def before(self, columns: Columns) -> Standing:
        """Copy what the decision will change."""
        if columns.size > WIDE and not self._affords(columns.size):
            return _BARE
        if columns.reported != self._version:
            self._version = columns.reported
            self._reported = (
                columns.waiting.tobytes(),
                columns.inflight_mark.tobytes(),
                columns.kv_usage.tobytes(),
                columns.kv_mark.tobytes(),
                columns.kv_per_token.tobytes(),
            )
        return Standing(self._reported, (columns.inflight.tobytes(), columns.kv_tokens.tobytes()))

    def routed(
        self, kept: Standing, ticket: Ticket, cycle: Cycle, rows: Rows, decision: Decision, seconds: float
    ) -> None:
        """Keep a decision that chose an endpoint."""
        endpoints = self._pool.by_row
        if kept is _BARE:
            bare = Decision(decision.rows, _without_rows(decision.steps), decision.profile, stages=decision.stages)
            record = Record(ticket, bare, endpoints, len(rows), seconds, None, None, kept)
        else:
            record = Record(ticket, decision, endpoints, len(rows), seconds, rows, cycle.prefix, kept)
        self._ring.append(record)
        if self._followers:
            self._tell(record)

    def refused(self, refusal: Refusal) -> None:
        """Keep a refusal."""
        refusal = msgspec.structs.replace(
            refusal,
            request_id=clipped(refusal.request_id),
            model=clipped(refusal.model),
            target=clipped(refusal.target),
            objective=refusal.objective and clipped(refusal.objective),
            reason=clipped(refusal.reason, LONGEST_REASON),
        )
        if refusal.candidates > WIDE:
            refusal = msgspec.structs.replace(refusal, steps=_without_rows(refusal.steps), rows=None, endpoints={})
        self._ring.append(refusal)
        if self._followers:
            self._tell(refusal)

    def finished(self, ticket: Ticket) -> None:
        """A request ended. Its record refers to its ticket and so knows how; from now on that must be small."""
        if len(ticket.request_id) > LONGEST:
            ticket.request_id = clipped(ticket.request_id)
        if len(ticket.model) > LONGEST:
            ticket.model = clipped(ticket.model)
        if len(ticket.target) > LONGEST:
            ticket.target = clipped(ticket.target)
        if ticket.objective is not None:
            ticket.objective = clipped(ticket.objective)
        if self._followers:
            for entry in reversed(self._ring):
                if isinstance(entry, Record) and entry.ticket is ticket:
                    self._tell(entry)
                    break

    # -- what readers ask ---------------------------------------------------------------------------------------

    def latest(self, count: int) -> list[Entry]:
        """Return the last ``count`` decisions, oldest first."""
        ring = self._ring
        return [ring[index] for index in range(max(0, len(ring) - count), len(ring))] if count > 0 else []

    def find(self, request_id: str) -> list[Entry]:
        """Return the decisions for a request, oldest first: a retry through the gateway makes another one."""
        wanted = clipped(request_id)
        return [entry for entry in self._ring if clipped(request_id_of(entry)) == wanted]

    @property
    def oldest(self) -> float | None:
        """When the oldest decision was made, in seconds of the director's clock; ``None`` where there is none."""
        return decided_at(self._ring[0]) if self._ring else None

    def follow(self, follower: Follower) -> None:
        """Call ``follower`` with every decision, and again when its request ends. It must not raise or block."""
        self._followers = [*self._followers, follower]

    def unfollow(self, follower: Follower) -> None:
        """Stop calling it."""
        self._followers = [other for other in self._followers if other is not follower]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._ring)

    # -----------------------------------------------------------------------------------------------------------

    def _tell(self, entry: Entry) -> None:
        for follower in self._followers:
            follower(entry)

    def _sampled(self, request_id: str) -> bool:
        if not request_id:  # requests without an id cannot be told apart: take every so-and-so-many-th
            self._nameless += 1
            return int(self._nameless * self.sample) > int((self._nameless - 1) * self.sample)
        return crc32(request_id.encode("utf-8", "surrogatepass")) < self.sample * 0x1_0000_0000

    def _affords(self, size: int) -> bool:
        self._credit += WIDE
        if self._credit < size:
            return False
        self._credit -= size
        return True


def request_id_of(entry: Entry) -> str:
    """The request id of a decision."""
    return entry.ticket.request_id if isinstance(entry, Record) else entry.request_id


def decided_at(entry: Entry) -> float:
    """When a decision was made, in seconds of the director's clock."""
    return entry.ticket.routed_at if isinstance(entry, Record) else entry.at


def clipped(text: str, longest: int = LONGEST) -> str:
    """``text``, or its beginning and an ellipsis where it is longer than ``longest`` characters."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _without_rows(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    return tuple(
        [Step(step.plugin, step.before, step.after, None, step.fault, step.ends, step.begun) for step in steps]
    )
