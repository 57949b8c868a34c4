"""Who begins a handshake next, and how much of the time handshakes have: the rule by itself."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.wire import Limits
from signalbox.wire.handshake_line import HandshakeLine, HandshakePace
from signalbox.wire.turns_standing import PRESSED_SECONDS, Shares

SHARE = Limits().handshakes_share
COST = 0.0005


class TestLine:
    def test_hosts_take_turns_however_many_come_from_one(self) -> None:
        line: HandshakeLine[str] = HandshakeLine()
        for number in range(1_000):
            line.put("flood", f"flood {number}")
        line.put("gateway", "gateway 0")
        line.put("gateway", "gateway 1")
        assert [line.take() for _ in range(5)] == ["flood 0", "gateway 0", "flood 1", "gateway 1", "flood 2"]

    def test_room_is_made_by_the_oldest_of_the_host_that_has_most(self) -> None:
        line: HandshakeLine[int] = HandshakeLine()
        for number, host in enumerate("abbbcc"):
            line.put(host, number)
        assert [line.drop() for _ in range(2)] == [1, 2], "b has three, then two, and came before c"
        assert line.drop() == 4
        assert len(line) == 3

    @given(st.lists(st.sampled_from(["a", "b", "c", "take", "drop"]), max_size=60))
    def test_each_comes_out_once_and_those_of_a_host_in_order(self, steps: list[str]) -> None:
        line: HandshakeLine[tuple[str, int]] = HandshakeLine()
        put: Counter[str] = Counter()
        out: Counter[str] = Counter()
        for step in [*steps, *["take"] * 60]:
            if step in ("a", "b", "c"):
                line.put(step, (step, put[step]))
                put[step] += 1
            elif line:
                host, number = line.take() if step == "take" else line.drop()
                assert number == out[host]
                out[host] += 1
            assert len(line) == put.total() - out.total()
        assert put == out


class TestPace:
    @pytest.fixture
    def others(self) -> Shares:
        return Shares(0.05)

    @pytest.fixture
    def pace(self, others: Shares) -> HandshakePace:
        return HandshakePace(SHARE, others)

    @staticmethod
    def had(pace: HandshakePace, others: Shares, seconds: float, *, pressed: bool, heard: bool) -> float:
        """CPU seconds that handshakes have who want all of ``seconds`` of it."""
        now = spent = 0.0
        while now < seconds:
            if pressed:
                others.press(now)
            if heard:
                others.hear(now)
            if pace.wait(now) <= 0:
                pace.spend(COST, now)
                spent += COST
            now += COST
        return spent

    def test_while_time_is_short_they_have_their_share(self, pace: HandshakePace, others: Shares) -> None:
        assert self.had(pace, others, 10.0, pressed=True, heard=True) == pytest.approx(10 * SHARE, rel=0.15)

    def test_while_it_is_not_they_have_what_they_need(self, pace: HandshakePace, others: Shares) -> None:
        assert self.had(pace, others, 1.0, pressed=False, heard=True) == pytest.approx(1.0, rel=0.01)

    def test_so_they_have_while_nobody_else_has_anything_to_say(self, pace: HandshakePace, others: Shares) -> None:
        assert self.had(pace, others, 1.0, pressed=True, heard=False) == pytest.approx(1.0, rel=0.01)

    def test_many_that_end_at_once_hold_up_the_next_for_a_bounded_time(
        self, pace: HandshakePace, others: Shares
    ) -> None:
        others.press(0.0)
        for _ in range(4096):
            pace.spend(COST, 0.0)
        others.hear(0.49)
        assert pace.wait(0.49) > 0
        others.hear(0.51)
        assert pace.wait(0.51) == 0

    def test_what_was_not_used_is_not_saved_up(self, pace: HandshakePace, others: Shares) -> None:
        others.press(100.0)
        others.hear(100.0)
        begun = 0
        while pace.wait(100.0) <= 0:
            pace.spend(COST, 100.0)
            begun += 1
        assert begun <= 0.1 * SHARE / COST + 1

    def test_it_is_asked_again_soon_whether_the_others_have_become_quiet(
        self, pace: HandshakePace, others: Shares
    ) -> None:
        others.press(0.0)
        others.hear(0.0)
        pace.spend(0.03, 0.0)
        assert 0 < pace.wait(0.0) <= 0.005
        assert pace.wait(0.005) == 0, "nobody has said anything since"

    def test_and_time_is_plenty_again_after_a_while(self, pace: HandshakePace, others: Shares) -> None:
        others.press(0.0)
        pace.spend(1.0, 0.0)
        others.hear(PRESSED_SECONDS)
        assert pace.wait(PRESSED_SECONDS) == 0


def test_the_share_is_a_part() -> None:
    with pytest.raises(ValueError, match=r"Limits\.handshakes_share is 1\.5: it is a part, use at most 1"):
        Limits(handshakes_share=1.5)
