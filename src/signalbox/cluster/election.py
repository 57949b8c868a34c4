"""Who of several replicas leads, decided over one Lease object. No clocks of two machines are ever compared.

The holder writes the Lease every ``retry`` seconds. A candidate notes, on its own clock, when it first saw the Lease
in its present state; only after the Lease has not changed for the duration it names may the candidate take it. The
holder counts itself as leader for at most ``deadline`` seconds from the moment it *sent* its last successful write.
Hence no two lead at once as long as no clock runs faster than another by more than ``lease / deadline``.

Writes name the version they replace, so that of two candidates who see the Lease free only one gets it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Terms:
    """The times of an election in seconds: those of the field's controllers unless told otherwise.

    Raises:
        ValueError: they would let two lead at once, or nobody for long.
    """

    lease: float = 15.0
    deadline: float = 10.0
    retry: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.retry < self.deadline < self.lease:
            raise ValueError(
                f"lease {self.lease} s, deadline {self.deadline} s, retry {self.retry} s: each must be longer than the"
                " next"
            )


@dataclass(frozen=True, slots=True)
class Record:
    """What a Lease says. ``holder`` is empty for one that was released."""

    holder: str
    duration: float
    """Seconds for which it holds after it was written."""
    renewed: str
    """When, on the holder's clock. To people only; here it serves to tell one writing from the next."""
    acquired: str = ""
    transitions: int = 0


@dataclass(frozen=True, slots=True)
class Read:
    """Ask for the Lease."""


@dataclass(frozen=True, slots=True)
class Write:
    """Write the Lease in place of the one of ``version``; empty: there must be none. ``sent`` is when, by our clock."""

    record: Record
    version: str
    sent: float


Ask = Read | Write


class Election:
    """One candidate. ``identity`` must be unlike any other's, after a restart too.

    Call `ask` when `due` says so, do it, and say how it went with `saw`, `wrote` or `failed`.
    """

    def __init__(self, identity: str, terms: Terms | None = None) -> None:
        self.identity = identity
        self.terms = terms or Terms()
        self._record: Record | None = None
        self._version = ""
        self._seen_at = 0.0
        """When the Lease was first seen as it is."""
        self._unsure = True
        """Whether the Lease may be other than we saw it: at the start, and after a request that failed."""
        self._until: float | None = None
        self._due = float("-inf")

    @property
    def holder(self) -> str:
        """Who holds the Lease as far as is known; empty for nobody."""
        return "" if self._record is None else self._record.holder

    def leads(self, now: float) -> bool:
        """Whether this candidate leads at ``now``, in seconds of its own monotonic clock."""
        return self._until is not None and now < self._until

    @property
    def until(self) -> float | None:
        """When leadership ends unless it is renewed before; ``None`` for one who never led or has stepped down."""
        return self._until

    @property
    def due(self) -> float:
        """When to ask next."""
        return self._due

    def ask(self, now: float, stamp: str) -> Ask:
        """Return what to ask now; ``stamp`` is the time of day for people to read in the Lease.

        The holder writes; a candidate reads, and writes once the Lease is free.
        """
        self._due = now + self.terms.retry
        record = self._record
        if self._unsure:
            return Read()
        if record is None:
            return Write(Record(self.identity, self.terms.lease, stamp, stamp), "", now)
        if record.holder == self.identity:
            return Write(replace(record, duration=self.terms.lease, renewed=stamp), self._version, now)
        if now >= self._free_at(record):
            taken = Record(self.identity, self.terms.lease, stamp, stamp, record.transitions + 1)
            return Write(taken, self._version, now)
        return Read()

    def saw(self, record: Record | None, version: str, now: float) -> None:
        """The Lease was read; ``None``: there is none."""
        if self._record is None or version != self._version:
            self._seen_at = now
        self._record, self._version, self._unsure = record, version, False
        if record is None or record.holder == self.identity:
            self._due = now
        else:
            self._due = max(now, min(self._due, self._free_at(record)))
        if self.holder != self.identity:
            self._until = None

    def wrote(self, write: Write, version: str) -> None:
        """The write was taken, and the Lease now has ``version``: we lead, counted from when it was sent."""
        self._record, self._version, self._seen_at = write.record, version, write.sent
        self._until = write.sent + self.terms.deadline

    def failed(self, now: float) -> None:
        """A request had no answer, or another candidate was quicker. Leadership runs on to its end."""
        self._unsure = True
        self._due = max(self._due, now)

    def conflicted(self, now: float) -> None:
        """The Lease is not what we took it for: look at once."""
        self._unsure = True
        self._due = now

    def resign(self, now: float, stamp: str) -> Write | None:
        """Stop leading; return what to write so that another need not wait, if the Lease is ours."""
        self._until = None
        record = self._record
        if record is None or record.holder != self.identity:
            return None
        return Write(replace(record, holder="", duration=1.0, renewed=stamp), self._version, now)

    def _free_at(self, record: Record) -> float:
        return self._seen_at + record.duration if record.holder else float("-inf")
