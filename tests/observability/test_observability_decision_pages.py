"""``/debug/decisions`` over a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from tests.observability.deciding import Deciding, arrival, wall

from signalbox.director import Refusal
from signalbox.observability import DecisionLog, DecisionPages, MetricsServer
from signalbox.observability.decision_pages import BACKLOG, MOST_FOLLOWERS
from signalbox.pool import Pool


class Served:
    """A decision log behind a server."""

    def __init__(self, made: Deciding, session: aiohttp.ClientSession) -> None:
        self.made = made
        self.session = session
        self.pages = DecisionPages(made.log, wall)
        self.server = MetricsServer(CollectorRegistry())
        self.pages.add_to(self.server)

    def url(self, rest: str = "") -> str:
        return f"http://127.0.0.1:{self.server.port}/debug/decisions{rest}"

    async def get(self, rest: str = "") -> tuple[int, dict[str, Any]]:
        async with self.session.get(self.url(rest)) as answer:
            assert answer.content_type == "application/json"
            return answer.status, await answer.json()

    async def line(self, answer: aiohttp.ClientResponse) -> dict[str, Any]:
        async with asyncio.timeout(10):
            document: dict[str, Any] = json.loads(await answer.content.readline())
            return document

    async def following(self, count: int) -> None:
        """Wait until so many readers follow."""
        async with asyncio.timeout(10):
            while len(self.made.log._followers) != count:  # noqa: ASYNC110 - a reader has no way to say that it is there
                await asyncio.sleep(0.001)


@pytest.fixture
async def served(build_pool: Any) -> AsyncIterator[Served]:
    async with aiohttp.ClientSession() as session:
        served = Served(Deciding(build_pool((0, 0, set()), (5, 0, set()))), session)
        await served.server.start("127.0.0.1", 0)
        yield served
        served.pages.close()
        await served.server.close()


async def test_the_latest_come_oldest_first_with_the_state_of_the_ring(served: Served) -> None:
    for number in range(30):
        served.made.route(arrival(f"r-{number}"), float(number))
    status, page = await served.get()
    assert status == 200
    assert [decision["request_id"] for decision in page.pop("decisions")] == [f"r-{number}" for number in range(10, 30)]
    assert page == {
        "kept": 30,
        "capacity": 1000,
        "sample": 1.0,
        "rate": 100.0,
        "passed_over": 0,
        "since": "1970-01-01T00:00:00.000Z",
    }


@pytest.mark.parametrize(("asked", "count"), [("2", 2), ("0", 0), ("999999999", 3)])
async def test_a_reader_says_how_many(served: Served, asked: str, count: int) -> None:
    for number in range(3):
        served.made.route(arrival(str(number)))
    _, page = await served.get(f"?last={asked}")
    assert len(page["decisions"]) == count


@pytest.mark.parametrize("asked", ["-1", "x", "1.5", "", "9" * 50])
async def test_what_is_no_number_is_refused(served: Served, asked: str) -> None:
    status, page = await served.get(f"?last={asked}")
    assert status == 400
    assert "ask for ?last=20" in page["error"]


async def test_one_request_has_its_tables(served: Served) -> None:
    served.made.route(arrival("r-1"))
    status, page = await served.get("/r-1")
    assert status == 200
    (decision,) = page["decisions"]
    assert decision["request_id"] == "r-1"
    assert [row["name"] for row in decision["profiles"][0]["endpoints"]] == ["pod-0", "pod-1"]


async def test_a_request_that_came_twice_has_two_decisions(served: Served) -> None:
    served.made.route(arrival("r-1"), 1.0)
    served.made.route(arrival("r-1"), 2.0)
    _, page = await served.get("/r-1")
    assert len(page["decisions"]) == 2
    assert page["decisions"][0]["time"] < page["decisions"][1]["time"]


@pytest.mark.parametrize("request_id", ["a/b", "ü", "a b", "..", "%2f", "?x=1"])
async def test_any_id_can_be_asked_for(served: Served, request_id: str) -> None:
    from urllib.parse import quote

    import yarl

    served.made.route(arrival(request_id))
    url = yarl.URL(served.url("/" + quote(request_id, safe="").replace(".", "%2E")), encoded=True)
    async with served.session.get(url) as answer:
        assert [decision["request_id"] for decision in (await answer.json())["decisions"]] == [request_id]


async def test_an_unknown_request_is_told_how_far_back_the_ring_goes(served: Served) -> None:
    served.made.route(arrival("r-1"), 5.0)
    status, page = await served.get("/nobody")
    assert status == 404
    assert page["error"] == "no decision for request 'nobody' is kept"
    assert (page["kept"], page["since"]) == (1, "1970-01-01T00:00:05.000Z")


async def test_an_empty_ring_goes_back_to_nowhere(served: Served) -> None:
    _, page = await served.get()
    assert (page["decisions"], page["since"]) == ([], None)


class TestFollowing:
    async def test_decisions_refusals_and_ends_come_as_lines(self, served: Served) -> None:
        async with served.session.get(served.url("?follow=1")) as answer:
            assert answer.content_type == "application/x-ndjson"
            await served.following(1)
            ticket = served.made.route(arrival("r-1"), 1.0)
            decided = await served.line(answer)
            served.made.refuse(arrival("r-2", model=""), 2.0)
            refused = await served.line(answer)
            served.made.end(ticket, 3.0)
            ended = await served.line(answer)
        assert (decided["request_id"], decided["end"]) == ("r-1", None)
        assert (refused["request_id"], refused["status"]) == ("r-2", 400)
        assert (ended["request_id"], ended["end"]["seconds"]) == ("r-1", 2.0)

    async def test_a_reader_that_leaves_is_forgotten(self, served: Served) -> None:
        async with served.session.get(served.url("?follow=1")):
            await served.following(1)
        while served.made.log._followers:  # the next line finds that nobody is there
            served.made.route(arrival())
            await asyncio.sleep(0.001)
        await served.following(0)

    async def test_a_reader_that_does_not_keep_up_is_cut_off_and_the_rest_go_on(self, served: Served) -> None:
        slow = await served.session.get(served.url("?follow=1"))
        await served.following(1)
        for number in range(BACKLOG + 1):  # all in one step of the event loop: nothing can be read in between
            served.made.log.refused(Refusal(str(number), 0.0, 429, "code", "reason"))
        assert served.made.log._followers == []
        with pytest.raises(aiohttp.ClientError):
            await slow.content.read()
        slow.close()
        async with served.session.get(served.url("?follow=1")) as answer:
            await served.following(1)
            served.made.route(arrival("after"))
            assert (await served.line(answer))["request_id"] == "after"

    async def test_there_are_only_so_many_readers(self, served: Served) -> None:
        readers = [await served.session.get(served.url("?follow=1")) for _ in range(MOST_FOLLOWERS)]
        status, page = await served.get("?follow=1")
        assert (status, page["error"]) == (503, f"{MOST_FOLLOWERS} readers follow already; end one of them")
        for reader in readers:
            reader.close()

    async def test_closing_sends_readers_away_in_order(self, served: Served) -> None:
        async with served.session.get(served.url("?follow=1")) as answer:
            await served.following(1)
            served.made.route(arrival("r-1"))
            served.pages.close()
            assert (await served.line(answer))["request_id"] == "r-1"
            assert await answer.content.read() == b""

    async def test_follow_0_is_a_page(self, served: Served) -> None:
        status, page = await served.get("?follow=0")
        assert (status, page["decisions"]) == (200, [])


async def test_a_ring_of_another_size_says_so() -> None:
    state = DecisionPages(DecisionLog(Pool("pool"), 5, 0.5, 7.0), wall).state()
    assert (state["capacity"], state["sample"], state["rate"]) == (5, 0.5, 7.0)
