"""Reviews of tokens: what is asked, what is remembered and for how long."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from tests.cluster.fake_api import connected, status

from signalbox.cluster import Refused, Reviews, Unreachable, Verdict
from signalbox.cluster import reviews as reviews_module
from signalbox.cluster.reviews import (
    ALLOWED_SECONDS,
    AWAY_SECONDS,
    DENIED_SECONDS,
    MOST_AT_ONCE,
    MOST_REMEMBERED,
    MOST_WAITING,
)

USER = {"username": "system:serviceaccount:monitoring:prometheus", "uid": "u-1", "groups": ["system:authenticated"]}


class Clock:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


async def cluster(request: web.Request) -> web.Response:
    """Knows the token ``good``, whose owner may get /metrics."""
    spec = (await request.json())["spec"]
    if request.path.endswith("tokenreviews"):
        good = spec["token"] == "good"
        return web.json_response({"status": {"authenticated": good} | ({"user": USER} if good else {})}, status=201)
    allowed = spec["nonResourceAttributes"] == {"path": "/metrics", "verb": "get"}
    return web.json_response({"status": {"allowed": allowed}}, status=201)


async def test_who_may_is_told_apart_from_who_may_not_and_from_nobody(tmp_path: Path) -> None:
    async with connected(tmp_path, cluster) as (api, fake):
        reviews = Reviews(api, Clock())
        assert await reviews.may_get("good", "/metrics") == Verdict(USER["username"], allowed=True)  # type: ignore[arg-type]
        assert await reviews.may_get("good", "/debug/pool") == Verdict(USER["username"], allowed=False)  # type: ignore[arg-type]
        assert await reviews.may_get("bad", "/metrics") == Verdict("", allowed=False)
    assert fake.paths[:2] == [
        "POST /apis/authentication.k8s.io/v1/tokenreviews",
        "POST /apis/authorization.k8s.io/v1/subjectaccessreviews",
    ]
    assert fake.bodies[1]["spec"]["user"] == USER["username"]
    assert fake.bodies[1]["spec"]["groups"] == USER["groups"]
    assert len(fake.paths) == 5  # nobody's rights are not asked for


async def test_answers_are_remembered_and_refusals_not_for_as_long(tmp_path: Path) -> None:
    clock = Clock()
    async with connected(tmp_path, cluster) as (api, fake):
        reviews = Reviews(api, clock)
        await reviews.may_get("good", "/metrics")
        await reviews.may_get("bad", "/metrics")
        asked = len(fake.paths)
        clock.now = DENIED_SECONDS - 0.1
        await reviews.may_get("good", "/metrics")
        await reviews.may_get("bad", "/metrics")
        assert len(fake.paths) == asked
        clock.now = DENIED_SECONDS
        await reviews.may_get("bad", "/metrics")
        assert len(fake.paths) == asked + 1
        clock.now = ALLOWED_SECONDS
        await reviews.may_get("good", "/metrics")
        assert len(fake.paths) == asked + 3


async def test_the_same_question_at_the_same_time_is_asked_a_few_times_at_most(tmp_path: Path) -> None:
    async with connected(tmp_path, cluster) as (api, fake):
        reviews = Reviews(api, Clock())
        verdicts = await asyncio.gather(*(reviews.may_get("good", "/metrics") for _ in range(50)))
        assert all(verdict.allowed for verdict in verdicts)
    assert len(fake.paths) <= 2 * MOST_AT_ONCE


async def test_made_up_tokens_do_not_fill_the_memory_or_push_out_a_permission(tmp_path: Path) -> None:
    async with connected(tmp_path, cluster) as (api, fake):
        reviews = Reviews(api, Clock())
        await reviews.may_get("good", "/metrics")
        for number in range(MOST_REMEMBERED + 5):
            await reviews.may_get(f"made-up-{number}", "/metrics")
        assert len(reviews._denied) == MOST_REMEMBERED
        asked = len(fake.paths)
        assert (await reviews.may_get("good", "/metrics")).allowed
        assert len(fake.paths) == asked


async def test_made_up_tokens_do_not_queue_without_end_or_before_a_permission_that_is_renewed(tmp_path: Path) -> None:
    clock, stuck = Clock(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        if (await request.json())["spec"].get("token", "").startswith("made-up"):
            await stuck.wait()
        return await cluster(request)

    async with connected(tmp_path, slow) as (api, _):
        reviews = Reviews(api, clock)
        await reviews.may_get("good", "/metrics")
        clock.now = ALLOWED_SECONDS
        many = MOST_AT_ONCE + MOST_WAITING
        flood = [asyncio.create_task(reviews.may_get(f"made-up-{number}", "/metrics")) for number in range(many)]
        await asyncio.sleep(0)
        with pytest.raises(Unreachable, match=f"{MOST_WAITING} reviews of tokens wait already"):
            await reviews.may_get("made-up-too", "/metrics")
        assert await reviews.may_get("good", "/metrics") == Verdict(USER["username"], allowed=True)  # type: ignore[arg-type]
        stuck.set()
        assert not any(verdict.allowed for verdict in await asyncio.gather(*flood))


@pytest.mark.parametrize("away", [status(503, "etcd is gone"), status(429, "later"), web.Response(text="<html>"), None])
async def test_while_the_api_server_is_away_its_last_permission_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: web.Response | None
) -> None:
    monkeypatch.setattr(reviews_module, "RENEWAL_SECONDS", 0.2)
    clock, down = Clock(), asyncio.Event()

    async def failing(request: web.Request) -> web.Response:
        if not down.is_set():
            return await cluster(request)
        if away is None:
            await asyncio.sleep(3600)
        assert away is not None
        return web.Response(status=away.status, body=away.body, content_type=away.content_type)

    async with connected(tmp_path, failing) as (api, fake):
        reviews = Reviews(api, clock)
        await reviews.may_get("good", "/metrics")
        down.set()
        clock.now = 3600.0
        verdict = await reviews.may_get("good", "/metrics")
        assert verdict.allowed
        assert verdict.problem
        asked = len(fake.paths)
        clock.now += AWAY_SECONDS - 0.1
        assert (await reviews.may_get("good", "/metrics")).problem
        assert len(fake.paths) == asked, "it is not asked at every scrape"
        with pytest.raises((Refused, Unreachable, TimeoutError)):
            await asyncio.wait_for(reviews.may_get("unseen", "/metrics"), 0.5)
        down.clear()
        clock.now += 1.0
        assert await reviews.may_get("good", "/metrics") == Verdict(USER["username"], allowed=True)  # type: ignore[arg-type]


async def test_an_api_server_that_says_no_is_believed_at_once(tmp_path: Path) -> None:
    clock, withdrawn = Clock(), asyncio.Event()

    async def changing(request: web.Request) -> web.Response:
        if withdrawn.is_set():
            return web.json_response({"status": {"authenticated": False}}, status=201)
        return await cluster(request)

    async with connected(tmp_path, changing) as (api, _):
        reviews = Reviews(api, clock)
        await reviews.may_get("good", "/metrics")
        withdrawn.set()
        clock.now = ALLOWED_SECONDS
        assert not (await reviews.may_get("good", "/metrics")).allowed


async def test_a_failure_is_not_remembered(tmp_path: Path) -> None:
    answers = [status(403, "tokenreviews is forbidden"), web.Response(text="no JSON")]

    async def failing(request: web.Request) -> web.Response:
        return answers.pop(0) if answers else await cluster(request)

    async with connected(tmp_path, failing) as (api, _):
        reviews = Reviews(api, Clock())
        with pytest.raises(Refused, match="tokenreviews is forbidden"):
            await reviews.may_get("good", "/metrics")
        with pytest.raises(Unreachable, match="no TokenReview"):
            await reviews.may_get("good", "/metrics")
        assert (await reviews.may_get("good", "/metrics")).allowed
