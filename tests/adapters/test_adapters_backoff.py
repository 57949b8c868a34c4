"""When to try again what failed."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from signalbox.adapters.backoff import Backoff


def test_what_never_failed_is_due() -> None:
    backoff = Backoff(Random(1))
    assert backoff.due("a", 0.0)
    assert backoff.next_due() is None


def test_a_failure_waits_and_a_success_forgets() -> None:
    backoff = Backoff(Random(1), first=4.0)
    delay = backoff.failed("a", 100.0)
    assert not backoff.due("a", 100.0)
    assert backoff.due("b", 100.0)
    assert backoff.due("a", 100.0 + delay)
    assert backoff.next_due() == 100.0 + delay
    backoff.succeeded("a")
    assert backoff.due("a", 100.0)


def test_work_that_is_no_longer_wanted_is_forgotten() -> None:
    backoff = Backoff(Random(1))
    backoff.failed("a", 0.0)
    backoff.failed("b", 0.0)
    backoff.keep({"b"})
    assert backoff.due("a", 0.0)
    assert not backoff.due("b", 0.0)


@given(st.integers(), st.integers(1, 2000))
def test_delays_double_up_to_the_longest_and_lie_in_the_upper_half(seed: int, failures: int) -> None:
    backoff = Backoff(Random(seed), first=1.0, longest=60.0)
    delay = [backoff.failed("a", 0.0) for _ in range(failures)][-1]
    whole = min(60.0, 2.0 ** min(failures - 1, 10))
    assert whole / 2 <= delay <= whole


def test_two_syncers_do_not_come_back_at_once() -> None:
    assert Backoff(Random(1)).failed("a", 0.0) != Backoff(Random(2)).failed("a", 0.0)
