"""The waiting room looks when something has happened, a little at a time, and not at all while nobody waits."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest
from tests.conftest import BuildPool, Objects
from tests.extproc.one_room import FLOW

from signalbox.cli.waiting_room import SAFETY_NET, ScrapedRoom, TurnRoom
from signalbox.director import Arrival, Director, Refused, Routed, Waiting, policy_rules
from signalbox.director.turns import AT_ONCE
from signalbox.pool import Pool, Readings
from signalbox.scheduling import load_policy


class Counting(Director):
    """Counts how often it is asked."""

    looks = 0

    def dispatch(self, now: float) -> list[tuple[Waiting, Routed | Refused]]:
        self.looks += 1
        return super().dispatch(now)


class Hall:
    """A director, its room, and a clock that a test moves."""

    def __init__(self, pool: Pool) -> None:
        self.now = 1.0
        rules = policy_rules(load_policy(FLOW, name="flow.yaml"), pool)
        self.director = Counting(pool, rules, rng=random.Random(1))
        self.timed: list[float] = []
        self.room = TurnRoom(self.director, lambda: self.now, self.timed.append)
        self.told: list[tuple[str, Routed | Refused]] = []

    def ask(self) -> object:
        body = json.dumps({"model": "m", "prompt": "p"}).encode()
        return self.director.arrive(Arrival("/v1/completions", body), self.now)

    def enter(self, name: str) -> Waiting:
        waiting = self.ask()
        assert isinstance(waiting, Waiting)
        self.room.enter(waiting, lambda outcome: self.told.append((name, outcome)))
        return waiting

    def go(self) -> Routed:
        outcome = self.ask()
        assert isinstance(outcome, Routed)
        return outcome

    def end(self, outcome: Any) -> None:
        self.director.finish(outcome.ticket, self.now, outcome="complete", status=200)
        self.room.freed()

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.told]


async def turns(count: int = 3) -> None:
    """Let the loop go round."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_while_nobody_waits_nobody_is_asked(build_pool: BuildPool) -> None:
    hall = Hall(build_pool((0, 0, set())))
    for _ in range(5):
        hall.end(hall.go())
    await turns()
    assert hall.director.looks == 0
    assert hall.room._timer is None


async def test_an_end_gives_the_next_one_its_turn(build_pool: BuildPool) -> None:
    hall = Hall(build_pool((0, 0, set())))
    first = hall.go()
    hall.enter("a")
    hall.enter("b")
    await turns()
    assert hall.told == []
    assert hall.room._timer is not None
    hall.end(first)
    assert hall.told == [], "never within the call that made the room"
    await turns()
    assert hall.names == ["a"]
    hall.end(hall.told[0][1])
    await turns()
    assert hall.names == ["a", "b"]
    assert hall.room._timer is None
    assert len(hall.timed) == hall.director.looks


async def test_whoever_leaves_is_not_told(build_pool: BuildPool) -> None:
    hall = Hall(build_pool((0, 0, set())))
    first = hall.go()
    gone, kept = hall.enter("gone"), hall.enter("kept")
    hall.room.leave(gone)
    hall.end(first)
    await turns()
    assert hall.names == ["kept"]
    assert kept.owner is None


async def test_whoever_leaves_while_others_of_the_same_turn_are_told_is_settled(build_pool: BuildPool) -> None:
    pool = build_pool((0, 0, set()), (0, 0, set()))
    hall = Hall(pool)
    running = [hall.go(), hall.go()]
    first = hall.ask()
    assert isinstance(first, Waiting)
    second = hall.enter("second")
    hall.room.enter(first, lambda _: hall.room.leave(second))
    hall.end(running[0])
    hall.end(running[1])
    await turns()
    assert hall.told == []
    assert hall.director.waiting == 0
    assert pool.columns.inflight.sum() == 1  # of the first, which its exchange will settle


async def test_an_exchange_that_fails_takes_nobody_with_it(
    build_pool: BuildPool, caplog: pytest.LogCaptureFixture
) -> None:
    pool = build_pool((0, 0, set()), (0, 0, set()))
    hall = Hall(pool)
    running = [hall.go(), hall.go()]
    broken = hall.ask()
    assert isinstance(broken, Waiting)

    def fail(_: object) -> None:
        raise ValueError("no")

    hall.room.enter(broken, fail)
    hall.enter("next")
    for outcome in running:
        hall.end(outcome)
    await turns()
    assert hall.names == ["next"]
    assert "could not be delivered" in caplog.text
    assert pool.columns.inflight.sum() == 1


async def test_a_long_queue_goes_a_little_at_a_time(build_pool: BuildPool) -> None:
    pool = build_pool((0, 0, set()))
    hall = Hall(pool)
    hall.go()
    for number in range(3 * AT_ONCE):
        hall.enter(str(number))
    hall.director.rules = policy_rules(load_policy("", name="none.yaml"), pool, hall.director.rules)
    hall.room.freed()
    counts = []
    while len(hall.told) < 3 * AT_ONCE:
        await asyncio.sleep(0)
        counts.append(len(hall.told))
    assert counts[-3:] == [AT_ONCE, 2 * AT_ONCE, 3 * AT_ONCE]
    assert hall.names == [str(number) for number in range(3 * AT_ONCE)]


async def test_time_that_runs_out_is_looked_for(build_pool: BuildPool) -> None:
    hall = Hall(build_pool((0, 0, set())))
    hall.go()
    hall.enter("late")
    await turns()
    loop = asyncio.get_running_loop()
    timer = hall.room._timer
    assert timer is not None
    assert timer.when() - loop.time() <= SAFETY_NET
    hall.now = 10.99
    hall.room.freed()
    await turns()
    assert hall.told == []
    timer = hall.room._timer
    assert timer is not None
    assert timer.when() - loop.time() < 0.02
    hall.now = 11.0
    hall.room._timed()
    await turns()
    ((_, outcome),) = hall.told
    assert isinstance(outcome, Refused)
    assert outcome.dropped == "rejected-ttl-expired"


async def test_the_first_to_wait_after_all_others_left_is_looked_at(build_pool: BuildPool) -> None:
    hall = Hall(build_pool((0, 0, set())))
    hall.go()
    hall.room.leave(hall.enter("a"))
    await turns()
    before = hall.director.looks
    assert hall.room._timer is None
    hall.enter("b")
    await turns()
    assert hall.director.looks == before + 1
    assert hall.room._timer is not None


async def test_a_scrape_and_a_failed_one_call_those_who_wait(build_pool: BuildPool) -> None:
    pool = build_pool((0, 0, set()))
    hall = Hall(pool)
    hall.go()
    hall.enter("a")
    await turns()
    scraped = ScrapedRoom(pool, hall.room)
    (endpoint,) = scraped.endpoints
    before = hall.director.looks
    scraped.record(endpoint, Readings(waiting=1, running=1, kv_usage=0.1), scraped.begin_scrape(endpoint), 2.0)
    await turns()
    scraped.scrape_failed(endpoint, 3.0)
    await turns()
    assert hall.director.looks == before + 2
    assert pool.columns.waiting[endpoint.row] == 1
    assert pool.columns.failed_scrapes[endpoint.row] == 1
    scraped.scraping_every(0.25)
    assert pool.columns.scrape_interval == 0.25
    assert scraped.version == pool.version


async def test_a_first_endpoint_ends_the_wait(build_pool: BuildPool, objects: Objects) -> None:
    pool = build_pool()
    hall = Hall(pool)
    hall.enter("a")
    await turns()
    pool.put(objects.pod("pod-0", "192.168.1.1"))
    hall.room.freed()
    await turns()
    assert hall.names == ["a"]


async def test_a_room_that_closes_tells_everybody_at_once(build_pool: BuildPool) -> None:
    hall = Hall(build_pool((0, 0, set())))
    hall.go()
    for number in range(AT_ONCE + 1):
        hall.enter(str(number))
    hall.room.close()
    assert {outcome.dropped for _, outcome in hall.told if isinstance(outcome, Refused)} == {"rejected-shutting-down"}
    assert len(hall.told) == AT_ONCE + 1
    assert isinstance(hall.ask(), Refused)
