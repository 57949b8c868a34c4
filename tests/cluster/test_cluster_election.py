"""Election over a Lease: one leader at a time whatever is slow, lost or skewed, and never none for long."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.cluster.election import Election, Read, Record, Terms, Write

TERMS = Terms(lease=15.0, deadline=10.0, retry=2.0)
STAMP = "2025-01-01T00:00:00.000000Z"


@dataclass
class Lease:
    """The Lease as an API server keeps it: a write counts only if it names the version it replaces."""

    record: Record | None = None
    version: int = 0

    def write(self, write: Write) -> str | None:
        """Take a write and return the new version, or ``None`` for a conflict."""
        if write.version != (str(self.version) if self.record is not None else ""):
            return None
        self.record = write.record
        self.version += 1
        return str(self.version)


def round_trip(candidate: Election, lease: Lease, now: float) -> None:
    """One question and its answer, both at ``now``."""
    ask = candidate.ask(now, STAMP)
    if isinstance(ask, Read):
        candidate.saw(lease.record, str(lease.version), now)
        return
    version = lease.write(ask)
    if version is None:
        candidate.conflicted(now)
    else:
        candidate.wrote(ask, version)


def leader(lease: Lease, now: float = 0.0, identity: str = "a") -> Election:
    """A candidate that has got the lease at ``now``."""
    candidate = Election(identity, TERMS)
    round_trip(candidate, lease, now)
    round_trip(candidate, lease, now)
    assert candidate.leads(now)
    return candidate


def test_a_candidate_looks_first_and_creates_a_lease_that_is_not_there() -> None:
    candidate = Election("a", TERMS)
    assert candidate.ask(5.0, STAMP) == Read()
    candidate.saw(None, "", 5.0)
    assert candidate.due == 5.0
    assert candidate.ask(5.0, STAMP) == Write(Record("a", 15.0, STAMP, STAMP), "", 5.0)
    assert not candidate.leads(5.0)


def test_leadership_counts_from_when_the_write_was_sent() -> None:
    candidate = leader(Lease(), 100.0)
    assert candidate.until == 110.0
    assert candidate.leads(109.9)
    assert not candidate.leads(110.0)


def test_a_leader_writes_every_retry_period_and_stays() -> None:
    lease = Lease()
    candidate = leader(lease)
    for step in range(1, 20):
        assert candidate.due == 2.0 * step
        round_trip(candidate, lease, candidate.due)
        assert candidate.leads(2.0 * step + 9.9)
    assert lease.record is not None
    assert lease.record.transitions == 0


def test_another_waits_until_the_lease_has_not_changed_for_its_duration_on_its_own_clock() -> None:
    lease = Lease()
    leader(lease)
    other = Election("b", TERMS)
    round_trip(other, lease, 1000.0)  # its clock began elsewhere
    assert other.holder == "a"
    round_trip(other, lease, 1014.9)
    assert not other.leads(1014.9)
    assert other.due == 1015.0
    round_trip(other, lease, 1015.0)
    assert other.leads(1015.0)
    assert lease.record is not None
    assert (lease.record.holder, lease.record.transitions) == ("b", 1)


def test_each_renewal_starts_the_wait_anew() -> None:
    lease = Lease()
    first, other = leader(lease), Election("b", TERMS)
    round_trip(other, lease, 0.0)
    for now in range(2, 60, 2):
        round_trip(first, lease, float(now))
        round_trip(other, lease, float(now))
        assert first.leads(now)
        assert not other.leads(now)


def test_the_duration_is_the_one_in_the_lease() -> None:
    lease = Lease(Record("a", 40.0, STAMP), 1)
    other = Election("b", TERMS)
    round_trip(other, lease, 0.0)
    round_trip(other, lease, 39.0)
    assert not other.leads(39.0)
    round_trip(other, lease, 40.0)
    assert other.leads(40.0)


def test_a_lease_given_up_is_taken_at_once() -> None:
    lease = Lease()
    first, other = leader(lease), Election("b", TERMS)
    round_trip(other, lease, 1.0)
    release = first.resign(2.0, STAMP)
    assert release is not None
    assert not first.leads(2.0)
    assert lease.write(release) is not None
    round_trip(other, lease, 3.0)
    assert other.due == 3.0
    round_trip(other, lease, 3.0)
    assert other.leads(3.0)


def test_who_does_not_hold_the_lease_has_nothing_to_give_up() -> None:
    lease = Lease()
    leader(lease)
    other = Election("b", TERMS)
    round_trip(other, lease, 1.0)
    assert other.resign(2.0, STAMP) is None


def test_a_leader_that_cannot_write_leads_to_its_deadline_and_comes_back_if_nobody_was_quicker() -> None:
    lease = Lease()
    candidate = leader(lease)
    candidate.ask(2.0, STAMP)
    candidate.failed(9.0)
    assert candidate.leads(9.9)
    assert not candidate.leads(10.0)
    round_trip(candidate, lease, 11.0)  # looks, since a write may have got through
    assert not candidate.leads(11.0)
    round_trip(candidate, lease, 11.0)
    assert candidate.leads(11.0)


def test_a_leader_that_reads_of_another_steps_down() -> None:
    lease = Lease()
    candidate = leader(lease)
    lease.record, lease.version = Record("b", 15.0, STAMP), 7
    round_trip(candidate, lease, 2.0)  # its write is refused
    assert candidate.leads(2.0)
    assert candidate.due == 2.0
    round_trip(candidate, lease, 2.0)
    assert not candidate.leads(2.0)
    assert candidate.holder == "b"


@pytest.mark.parametrize("terms", [(15.0, 15.0, 2.0), (10.0, 15.0, 2.0), (15.0, 10.0, 10.0), (15.0, 10.0, 0.0)])
def test_terms_that_would_let_two_lead_are_refused(terms: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="each must be longer than the next"):
        Terms(*terms)


@dataclass
class Replica:
    """A candidate with a clock of its own, of which requests may be slow, lost on the way or lost on the way back."""

    candidate: Election
    offset: float
    rate: float
    pending: list[tuple[float, Read | Write, bool, bool]] = field(default_factory=list)

    def clock(self, now: float) -> float:
        """What its clock shows at ``now``."""
        return self.offset + now * self.rate

    @property
    def idle(self) -> bool:
        """Whether it waits for no answer."""
        return not self.pending


FATES = st.sampled_from(["ok"] * 6 + ["slow", "lost", "unanswered", "paused"])


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    rates=st.lists(st.floats(0.9, 1.1), min_size=2, max_size=3),
    offsets=st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3),
)
def test_no_two_ever_lead_at_once(data: st.DataObject, rates: list[float], offsets: list[float]) -> None:
    """Clocks start anywhere and run 10 % fast or slow (lease / deadline is 1.5); anything may happen to requests."""
    lease = Lease()
    replicas = [Replica(Election(f"r{number}", TERMS), offsets[number], rate) for number, rate in enumerate(rates)]
    now, led = 0.0, 0
    for _ in range(160):
        now += 0.5
        for replica in replicas:
            step(replica, lease, now, data)
        leaders = [replica for replica in replicas if replica.candidate.leads(replica.clock(now))]
        assert len(leaders) <= 1
        led += len(leaders)
    # In peace, somebody leads within a lease, on the slowest clock, and a few questions.
    for _ in range(50):
        now += 0.5
        for replica in replicas:
            step(replica, lease, now, None)
        assert sum(replica.candidate.leads(replica.clock(now)) for replica in replicas) <= 1
    assert sum(replica.candidate.leads(replica.clock(now)) for replica in replicas) == 1


def step(replica: Replica, lease: Lease, now: float, data: st.DataObject | None) -> None:
    """Let half a second pass for one replica: answers arrive, questions leave."""
    candidate, clock = replica.candidate, replica.clock(now)
    for entry in list(replica.pending):
        due, ask, arrives, answered = entry
        if due <= now:
            replica.pending.remove(entry)
            version = lease.write(ask) if isinstance(ask, Write) and arrives else None
            if not (arrives and answered):
                candidate.failed(clock)
            elif isinstance(ask, Read):
                candidate.saw(lease.record, str(lease.version), clock)
            elif version is None:
                candidate.conflicted(clock)
            else:
                candidate.wrote(ask, version)
    if replica.idle and clock >= candidate.due:
        fate = "ok" if data is None else data.draw(FATES)
        if fate == "paused":
            return  # the process does not get to run
        delay = data.draw(st.floats(0.5, 25.0)) if data is not None and fate == "slow" else 0.0
        entry = (now + delay, candidate.ask(clock, STAMP), fate != "lost", fate != "unanswered")
        replica.pending.append(entry)
