"""Who is taken back from its server, where who matters more waits for room."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from signalbox.admission.flow import Evictions, Serving
from signalbox.admission.flow.eviction import AT_ONCE, GIVE_UP

GRACE = 0.5


def sent(evictions: Evictions, *priorities: int) -> list[Serving]:
    """Requests in flight, in the order in which they were sent, each of which can be taken back."""
    found = []
    for priority in priorities:
        serving = evictions.sent(priority, None)
        assert serving is not None
        serving.owner = "somebody"
        found.append(serving)
    return found


def choose(evictions: Evictions, now: float = 1.0, above: int = 0, wanted: int = 1) -> list[Serving]:
    return evictions.choose(above, wanted, now, GRACE)


def test_only_sheddable_requests_are_ever_taken_back() -> None:
    evictions = Evictions()
    assert evictions.sent(0, None) is None
    assert evictions.sent(7, None) is None
    assert len(evictions) == 0
    assert choose(evictions, above=100) == []


def test_the_lowest_priority_goes_first_and_of_one_priority_the_newest() -> None:
    evictions = Evictions()
    low_old, high, low_new, lowest = sent(evictions, -5, -1, -5, -9)
    order = []
    now = 1.0
    while chosen := choose(evictions, now):
        order += chosen
        for serving in chosen:
            evictions.ended(serving, now, GRACE)
        now += 1
    assert order == [lowest, low_new, low_old, high]


def test_nobody_goes_for_one_who_matters_as_little() -> None:
    evictions = Evictions()
    low, high = sent(evictions, -5, -1)
    assert choose(evictions, above=-5) == []
    assert choose(evictions, above=-1, wanted=9) == [low]
    evictions.ended(low, 1.0, GRACE)
    assert choose(evictions, 9.0, above=-1) == []
    assert choose(evictions, 9.0, above=0) == [high]


def test_as_many_as_are_wanted_and_never_more_than_two_at_once() -> None:
    five = _five()
    assert len(choose(five, wanted=1)) == 1
    assert len(five) == 4
    assert len(choose(_five(), wanted=100)) == AT_ONCE == 2
    assert choose(_five(), wanted=0) == []


def _five() -> Evictions:
    evictions = Evictions()
    sent(evictions, -1, -1, -1, -1, -1)
    return evictions


def test_no_more_are_taken_before_the_room_of_the_last_is_seen() -> None:
    evictions = Evictions()
    sent(evictions, -1, -1, -1, -1)
    first, second = choose(evictions, 1.0, wanted=2)
    assert evictions.look_again(1.0) == 1.0 + GIVE_UP
    assert choose(evictions, 2.0) == []
    evictions.ended(first, 2.0, GRACE)
    assert choose(evictions, 2.0 + GRACE) == [], "one of them still runs"
    evictions.ended(second, 3.0, GRACE)
    assert choose(evictions, 3.0 + GRACE / 2) == []
    assert evictions.look_again(3.1) == 3.0 + GRACE
    assert len(choose(evictions, 3.0 + GRACE)) == 1


def test_one_that_does_not_end_holds_the_others_for_ten_seconds() -> None:
    evictions = Evictions()
    sent(evictions, -1, -1)
    (stuck,) = choose(evictions, 1.0)
    assert choose(evictions, 1.0 + GIVE_UP - 0.1) == []
    assert choose(evictions, 1.0 + GIVE_UP) == []
    assert evictions.look_again(1.0 + GIVE_UP) == 1.0 + GIVE_UP + GRACE
    assert len(choose(evictions, 1.0 + GIVE_UP + GRACE)) == 1
    evictions.ended(stuck, 20.0, GRACE)
    assert len(evictions) == 0


def test_an_end_of_its_own_holds_nobody() -> None:
    evictions = Evictions()
    one, other = sent(evictions, -1, -1)
    assert not evictions.ended(other, 1.0, GRACE)
    assert evictions.look_again(1.0) is None
    assert choose(evictions, 1.0) == [one]
    assert evictions.ended(one, 1.0, GRACE)
    assert not evictions.ended(one, 1.0, GRACE)


def test_one_that_nobody_can_take_back_is_left_there() -> None:
    evictions = Evictions()
    (one,) = sent(evictions, -1)
    evictions.sent(-9, None)
    assert choose(evictions) == [one]
    assert len(evictions) == 0


@given(st.lists(st.tuples(st.sampled_from(["sent", "end", "choose"]), st.integers(-4, 3), st.integers(0, 5))))
def test_nobody_is_taken_back_twice_or_after_its_end(changes: list[tuple[str, int, int]]) -> None:
    evictions = Evictions()
    running: list[Serving] = []
    taken: set[int] = set()
    for now, (change, priority, number) in enumerate(changes):
        if change == "sent" and priority < 0:
            running += sent(evictions, priority)
        elif change == "end" and running:
            evictions.ended(running.pop(number % len(running)), float(now), GRACE)
        elif change == "choose":
            fair = [serving for serving in running if id(serving) not in taken and serving.priority < priority]
            chosen = choose(evictions, float(now), priority, number)
            assert len(chosen) <= min(AT_ONCE, number)
            assert all(one in fair for one in chosen)
            left = [serving for serving in fair if serving not in chosen]
            assert not chosen or not left or min(one.priority for one in left) >= max(one.priority for one in chosen)
            taken |= {id(one) for one in chosen}
    while running:
        evictions.ended(running.pop(), 1e6, GRACE)
    assert len(evictions) == 0
