"""A request waits in the asking room for its token ids and perhaps, behind that, for its turn; it may leave at any
time."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest
from tests.conftest import BuildPool
from tests.extproc.one_room import FLOW

from signalbox.cli.asking_room import AskingRoom
from signalbox.cli.waiting_room import TurnRoom
from signalbox.director import Arrival, Asking, Director, Refused, Routed, Tokens, policy_rules
from signalbox.scheduling import load_policy
from signalbox.signals.tokens import TokenClient

PRECISE = """plugins:
- {type: token-producer, parameters: {backend: tokenize}}
- {type: precise-prefix-cache-producer}
- {type: prefix-cache-scorer}
"""


class Oracle(TokenClient):
    """Answers when told to."""

    def __init__(self) -> None:
        super().__init__(lambda: ())
        self.known: Tokens | None = None
        self.answer: asyncio.Future[Tokens | None] = asyncio.get_running_loop().create_future()

    def remembered(self, asking: Asking) -> Tokens | None:
        return self.known

    async def ask(self, asking: Asking) -> Tokens | None:
        return await self.answer


class Hall:
    def __init__(self, pool: Any, endpoints: int = 1) -> None:
        text = FLOW.replace("plugins:\n", PRECISE, 1)
        self.director = Director(pool, policy_rules(load_policy(text, name="x"), pool), rng=random.Random(1))
        self.turns = TurnRoom(self.director, lambda: 1.0)
        self.oracle = Oracle()
        self.room = AskingRoom(self.director, self.oracle, self.turns, lambda: 1.0)
        self.told: list[Routed | Refused] = []

    def enter(self) -> Asking:
        body = json.dumps({"model": "m", "prompt": "p"}).encode()
        asking = self.director.arrive(Arrival("/v1/completions", body), 1.0)
        assert isinstance(asking, Asking)
        self.room.enter(asking, self.told.append)
        return asking

    async def turn(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)


@pytest.fixture
async def hall(build_pool: BuildPool) -> Hall:
    return Hall(build_pool((0, 0, set())))


async def test_an_answer_lets_the_request_go_on(hall: Hall) -> None:
    hall.enter()
    await hall.turn()
    assert (hall.told, hall.room.asking) == ([], 1)
    hall.oracle.answer.set_result(Tokens((b"",)))
    await hall.turn()
    assert len(hall.told) == 1
    assert hall.room.asking == 0


async def test_what_is_remembered_is_delivered_later_than_it_was_asked_for(hall: Hall) -> None:
    hall.oracle.known = Tokens((b"",))
    hall.enter()
    assert hall.told == []
    await hall.turn()
    assert isinstance(hall.told[0], Routed)


async def test_a_client_that_breaks_harms_nobody(hall: Hall, caplog: pytest.LogCaptureFixture) -> None:
    hall.enter()
    hall.oracle.answer.set_exception(RuntimeError("a defect"))
    await hall.turn()
    assert isinstance(hall.told[0], Routed)
    assert "token ids could not be asked for" in caplog.text


async def test_who_leaves_hears_nothing(hall: Hall) -> None:
    hall.room.leave(hall.enter())
    hall.oracle.answer = asyncio.get_running_loop().create_future()
    hall.oracle.known = Tokens((b"",))
    hall.room.leave(hall.enter())
    await hall.turn()
    assert (hall.told, hall.room.asking) == ([], 0)


async def test_the_pool_may_be_full_when_the_answer_is_there(hall: Hall) -> None:
    hall.oracle.known = Tokens((b"",))
    hall.enter()
    await hall.turn()
    (first,) = hall.told
    second, third = hall.enter(), hall.enter()
    await hall.turn()
    assert len(hall.told) == 1
    assert hall.director.waiting == 2
    hall.room.leave(second)
    assert hall.director.waiting == 1
    assert isinstance(first, Routed)
    assert first.ticket is not None
    hall.director.finish(first.ticket, 1.0, outcome="complete", status=200)
    hall.room.freed()
    await hall.turn()
    assert len(hall.told) == 2
    hall.room.leave(third)
    assert hall.director.waiting == 0
