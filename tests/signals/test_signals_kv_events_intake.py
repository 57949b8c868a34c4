"""Messages in their order: what is missed is asked for, or else the endpoint is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.pool import Endpoint
from signalbox.scheduling.prefix.precise_events import Cleared, Event, Removed, Stored
from signalbox.signals.kv_events import intake as module
from signalbox.signals.kv_events.intake import PER_TURN, Intake, pieces
from signalbox.signals.kv_events.sequence import Arrival
from signalbox.signals.kv_events.sequence import Sequence as Numbers

POD = Endpoint("pod", "default", "pod", "10.0.0.1", 8000, 0)


def message(*hashes: int) -> bytes:
    return msgspec.msgpack.encode([1.0, [["BlockRemoved", list(hashes)]]])


class Listener:
    """What reaches the index: hashes, and None where everything is forgotten."""

    def __init__(self, kept: Sequence[tuple[int, bytes]] | None = None, fails: bool = False) -> None:
        self.heard: list[int | None] = []
        self.asked: list[int] = []
        self.kept = kept or ()
        self.fails = fails
        self.intake = Intake(POD, self.apply, self.lose, None if kept is None and not fails else self.replay)

    def apply(self, endpoint: Endpoint, event: Event) -> None:
        assert endpoint is POD
        assert isinstance(event, Removed)
        self.heard.extend(event.hashes)

    def lose(self, endpoint: Endpoint) -> None:
        assert endpoint is POD
        self.heard.append(None)

    async def replay(self, start: int) -> AsyncIterator[tuple[int, bytes]]:
        self.asked.append(start)
        if self.fails:
            raise OSError("nobody there")
        for number, payload in self.kept:
            if number >= start:
                yield number, payload

    async def say(self, *numbers: int) -> None:
        for number in numbers:
            await self.intake.message(number, message(number))


async def test_messages_in_order_are_taken_in() -> None:
    listener = Listener()
    await listener.say(0, 1, 2)
    assert listener.heard == [0, 1, 2]
    assert (listener.intake.figures.messages, listener.intake.figures.events, listener.intake.figures.gaps) == (3, 3, 0)


async def test_without_a_replay_a_gap_forgets_the_endpoint() -> None:
    listener = Listener()
    await listener.say(0, 1, 5, 6)
    assert listener.heard == [0, 1, None, 5, 6]
    assert listener.intake.figures.gaps == 1


async def test_a_replay_fills_a_gap() -> None:
    listener = Listener([(number, message(number)) for number in range(8)])
    await listener.say(0, 1, 5, 6, 7, 8)
    assert listener.asked == [2]
    assert listener.heard == [*range(9)]
    assert listener.intake.figures.replays == 1


async def test_a_replay_that_ends_before_the_message_is_followed_by_it() -> None:
    listener = Listener([(number, message(number)) for number in range(5)])
    await listener.say(0, 5)
    assert listener.heard == [*range(6)]


async def test_who_comes_late_asks_for_everything() -> None:
    listener = Listener([(number, message(number)) for number in range(4)])
    await listener.say(3, 4)
    assert listener.asked == [0]
    assert listener.heard == [0, 1, 2, 3, 4]


async def test_once_connected_everything_is_asked_for_and_live_messages_come_behind_it() -> None:
    listener = Listener([(number, message(number)) for number in range(4)])
    connecting = asyncio.create_task(listener.intake.connected())
    await listener.say(2, 3, 4)
    await connecting
    assert listener.heard[-5:] == [0, 1, 2, 3, 4]
    assert listener.intake.figures.gaps <= 1


async def test_a_publisher_without_replay_is_not_asked() -> None:
    listener = Listener()
    await listener.intake.connected()
    await listener.say(0)
    assert listener.heard == [0]


async def test_a_replay_that_does_not_reach_back_begins_anew() -> None:
    listener = Listener([(number, message(number)) for number in (4, 5)])
    await listener.say(0, 6)
    assert listener.heard == [0, None, 4, 5, 6]


@pytest.mark.parametrize("kept", [[], [(1, message(1))]])
async def test_a_replay_that_leaves_a_gap_forgets_the_endpoint(kept: list[tuple[int, bytes]]) -> None:
    listener = Listener(kept)
    await listener.say(0, 5)
    assert listener.heard[-2:] == [None, 5]


async def test_a_replay_that_fails_forgets_the_endpoint() -> None:
    listener = Listener(fails=True)
    await listener.say(0, 5, 6)
    assert listener.heard == [0, None, 5, 6]


async def test_a_publisher_that_begins_anew_holds_nothing_of_before() -> None:
    listener = Listener()
    await listener.say(0, 1, 2, 0, 1)
    assert listener.heard == [0, 1, 2, None, 0, 1]
    assert listener.intake.figures.restarts == 1


async def test_a_publisher_that_is_gone_is_forgotten_at_once() -> None:
    listener = Listener()
    await listener.say(0, 1)
    listener.intake.disconnected()
    await listener.say(0)
    assert listener.heard == [0, 1, None, 0]
    assert listener.intake.figures.gaps == 0


async def test_a_message_of_a_publisher_that_goes_meanwhile_is_left_where_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PER_TURN", 1)
    listener = Listener()
    payload = msgspec.msgpack.encode([1.0, [["BlockRemoved", [number]] for number in range(100)]])
    taking = asyncio.create_task(listener.intake.message(0, payload))
    await asyncio.sleep(0)
    listener.intake.disconnected()
    await taking
    assert listener.heard[-1] is None


async def test_malformed_messages_are_counted_and_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    listener = Listener()
    for number in range(3):
        await listener.intake.message(number, b"\xc1")
    await listener.say(3)
    assert listener.heard == [None, None, None, 3]  # what cannot be read may have said that blocks are gone
    assert listener.intake.figures.malformed == 3
    assert len(caplog.records) == 1


async def test_an_index_that_fails_costs_the_message_and_what_is_known_and_not_the_feed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(Listener):
        def apply(self, endpoint: Endpoint, event: Event) -> None:
            assert isinstance(event, Removed)
            if event.hashes[0] in (1, 2):
                raise IndexError(f"surprise {event.hashes}")
            if event.hashes[0] == 3:
                raise KeyError("another")
            super().apply(endpoint, event)

    listener = Failing()
    await listener.say(0, 1, 2, 3, 4)
    assert listener.heard == [0, None, None, None, 4]
    assert listener.intake.figures.malformed == 3
    assert [record.exc_info is not None for record in caplog.records] == [True, True]
    assert "IndexError: surprise [1]" in caplog.text
    assert "KeyError: 'another'" in caplog.text


async def test_an_index_that_fails_does_not_stop_a_replay(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Listener):
        def apply(self, endpoint: Endpoint, event: Event) -> None:
            assert isinstance(event, Removed)
            if event.hashes[0] == 3:
                raise IndexError("surprise")
            super().apply(endpoint, event)

    listener = Failing([(number, message(number)) for number in range(8)])
    await listener.say(0, 1, 5)
    assert listener.heard == [0, 1, 2, None, 4, 5, 6, 7]
    assert len(caplog.records) == 1


async def test_a_flood_leaves_others_their_turn() -> None:
    listener = Listener()
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    watching = asyncio.create_task(other())
    await listener.intake.message(0, message(*range(20 * PER_TURN)))
    watching.cancel()
    assert turns >= 20


STORED = st.integers(1, 3 * PER_TURN).map(
    lambda count: Stored([*range(count)], 7_000_000, bytes(8 * count), 2, extras=(("x",),) * count)
)


@given(STORED)
def test_an_event_in_pieces_says_the_same(event: Stored) -> None:
    parts: list[Any] = list(pieces(event))
    assert [block for part in parts for block in part.hashes] == event.hashes
    assert b"".join(part.tokens for part in parts) == event.tokens
    assert [part.parent for part in parts] == [7_000_000, *(part.hashes[-1] for part in parts[:-1])]
    assert all(len(part.hashes) <= PER_TURN and len(part.extras) == len(part.hashes) for part in parts)


def test_other_events_in_pieces_do_too() -> None:
    assert list(pieces(Cleared())) == [Cleared()]
    removed: list[Any] = list(pieces(Removed([*range(PER_TURN + 1)], "cpu")))
    assert [(len(part.hashes), part.medium) for part in removed] == [(PER_TURN, "cpu"), (1, "cpu")]


def test_live_messages_that_a_replay_has_brought_come_again() -> None:
    numbers = Numbers()
    assert numbers.see(9) is Arrival.GAP
    numbers.replayed(12)
    assert [numbers.see(number) for number in (10, 11, 12, 13)] == [Arrival.AGAIN] * 2 + [Arrival.NEXT] * 2
    assert numbers.see(3) is Arrival.RESTART
