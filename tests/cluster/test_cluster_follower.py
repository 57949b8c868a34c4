"""Following a collection over HTTP: a server that breaks off, lies and forgets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from aiohttp import web
from tests.cluster.fake_api import connected, status
from tests.cluster.test_cluster_codec import CODEC, REAL_BOOKMARK, Thing

from signalbox.cluster import Change, Collection, Follower, Phase, Put, Reflector

PODS = Collection("", "v1", "pods", "ns", (("labelSelector", "app=llm"),))


class Script:
    """Lists the same two objects each time; each watch does the next thing in ``watches``, the last one for ever."""

    def __init__(self, *watches: Sequence[bytes | int]) -> None:
        self._watches = list(watches)
        self.lists = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            self.lists += 1
            return web.json_response({"metadata": {"resourceVersion": "10"}, "items": [thing("a", 1), thing("b", 2)]})
        doing = self._watches.pop(0) if self._watches else [-1]
        answer = web.StreamResponse()
        for chunk in doing:
            if isinstance(chunk, int) and chunk > 0:
                return status(chunk)
            if not answer.prepared:
                await answer.prepare(request)
            if isinstance(chunk, int):
                await asyncio.sleep(3600)
            else:
                await answer.write(chunk)
        if not answer.prepared:
            await answer.prepare(request)
        return answer


def thing(name: str, version: int) -> dict[str, dict[str, str]]:
    return {"metadata": {"name": name, "resourceVersion": str(version)}}


def event(kind: str, name: str, version: int) -> bytes:
    return json.dumps({"type": kind, "object": thing(name, version)}).encode() + b"\n"


async def follow(tmp_path: Path, script: Script, wanted: dict[str, str]) -> tuple[Follower[Thing], list[str]]:
    """Follow until what was delivered is ``wanted``; return the follower and what was asked."""
    mirror: dict[str, str] = {}
    reached = asyncio.Event()

    def deliver(changes: Sequence[Change[Thing]]) -> None:
        for change in changes:
            if isinstance(change, Put):
                mirror[change.item.name] = change.item.version
            else:
                del mirror[change.name]
        if mirror == wanted:
            reached.set()

    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    async with connected(tmp_path, script) as (api, fake):
        now = asyncio.get_running_loop().time
        follower = Follower(api, PODS, CODEC, Reflector(Random(0)), deliver, now, sleep)
        task = asyncio.create_task(follower.run())
        async with asyncio.timeout(10):
            await reached.wait()
        task.cancel()
        await asyncio.wait({task})
        return follower, fake.paths


async def test_it_lists_and_watches_with_selectors_and_bookmarks(tmp_path: Path) -> None:
    script = Script([event("MODIFIED", "a", 11), event("DELETED", "b", 12), -1])
    follower, paths = await follow(tmp_path, script, {"a": "11"})
    assert paths[0] == "GET /api/v1/namespaces/ns/pods?labelSelector=app%3Dllm&limit=500"
    assert paths[1].startswith(
        "GET /api/v1/namespaces/ns/pods?labelSelector=app%3Dllm&watch=true&allowWatchBookmarks=true&resourceVersion=10"
    )
    assert follower.reflector.phase is Phase.FOLLOWED


async def test_an_event_cut_in_two_is_one_event(tmp_path: Path) -> None:
    line = event("ADDED", "c", 11)
    await follow(tmp_path, Script([line[:9], line[9:], -1]), {"a": "1", "b": "2", "c": "11"})


async def test_a_watch_that_ends_goes_on_from_its_last_event(tmp_path: Path) -> None:
    script = Script([event("ADDED", "c", 11)], [event("ADDED", "d", 15), -1])
    follower, paths = await follow(tmp_path, script, {"a": "1", "b": "2", "c": "11", "d": "15"})
    assert "resourceVersion=11" in paths[-1]
    assert follower.reflector.lists == 1


@pytest.mark.parametrize(
    "forgotten",
    [[410], [b'{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old"}}\n'], [b"<html>\n"]],
    ids=["as a status", "as an event", "as nonsense"],
)
async def test_a_version_that_is_no_more_leads_to_a_list(tmp_path: Path, forgotten: Sequence[bytes | int]) -> None:
    script = Script([event("ADDED", "stale", 11)], forgotten, [event("ADDED", "c", 20), -1])
    follower, _ = await follow(tmp_path, script, {"a": "1", "b": "2", "c": "20"})
    assert follower.reflector.lists == 2


async def test_a_bookmark_moves_the_version_on_and_costs_nothing(tmp_path: Path) -> None:
    script = Script([REAL_BOOKMARK + b"\n"], [event("ADDED", "c", 600), -1])
    follower, paths = await follow(tmp_path, script, {"a": "1", "b": "2", "c": "600"})
    assert "resourceVersion=598" in paths[-1]
    assert (follower.reflector.lists, follower.reflector.bookmarks, follower.reflector.problem) == (1, 1, "")


async def test_forgotten_history_is_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await follow(tmp_path, Script([410], [event("ADDED", "c", 20), -1]), {"a": "1", "b": "2", "c": "20"})
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []
    assert "resource is listed anew: the API server has no history that far back" in caplog.messages


async def test_what_came_before_a_failure_in_the_same_chunk_counts(tmp_path: Path) -> None:
    gone = b'{"type":"ERROR","object":{"code":500}}\n'
    _, paths = await follow(
        tmp_path,
        Script([event("ADDED", "c", 11) + gone], [event("ADDED", "d", 12), -1]),
        {"a": "1", "b": "2", "c": "11", "d": "12"},
    )
    assert "resourceVersion=11" in paths[-1]


async def test_problems_are_logged_once_while_they_last(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    script = Script([503], [503], [503], [event("ADDED", "c", 11), -1])
    await follow(tmp_path, script, {"a": "1", "b": "2", "c": "11"})
    told = [record for record in caplog.records if record.message.startswith("resource cannot be followed")]
    assert len(told) == 1
    assert told[0].problem == "503: no"  # type: ignore[attr-defined]
