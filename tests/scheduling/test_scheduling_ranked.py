"""A heap from which anything can be taken out."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from signalbox.scheduling.ranked import SLACK, Ranked

steps = st.lists(st.tuples(st.integers(0, 8), st.none() | st.integers(0, 5).map(float)), max_size=120)


@given(steps)
def test_the_first_is_always_the_one_with_the_smallest_rank(changes: list[tuple[int, float | None]]) -> None:
    ranked: Ranked[int] = Ranked()
    plain: dict[int, tuple[float, int]] = {}
    for number, (item, key) in enumerate(changes):
        if key is None:
            assert ranked.discard(item) is (plain.pop(item, None) is not None)
        else:
            plain[item] = (key, number)
            ranked.put(item, (key, number))
        assert ranked.first() == min(plain, key=lambda one: plain[one], default=None)
        assert len(ranked) == len(plain)
        assert set(ranked) == plain.keys()
        assert all(ranked.rank(one) == rank for one, rank in plain.items())


def test_entries_of_what_is_gone_do_not_pile_up() -> None:
    ranked: Ranked[str] = Ranked()
    ranked.put("first", (0.0, 0))
    for number in range(10_000):
        ranked.put("last", (float(number + 1), number))
    assert len(ranked._heap) <= 2 * len(ranked) + SLACK
    assert ranked.first() == "first"
