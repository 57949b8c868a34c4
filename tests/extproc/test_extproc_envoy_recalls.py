"""What a real Envoy does when the picker takes a request back from its server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from tests.conftest import Objects
from tests.extproc.envoy_front import Front, Fronts, running_fronts
from tests.extproc.model_servers import SERVERS

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

MODES = {
    mode: Front(mode, answers, picker="evicting")
    for mode, answers in (
        ("BUFFERED", "STREAMED"),
        ("STREAMED", "NONE"),
        ("FULL_DUPLEX_STREAMED", "FULL_DUPLEX_STREAMED"),
    )
}
BATCH = {"content-type": "application/json", "x-llm-d-inference-objective": "batch"}
BODY = b'{"model": "m", "prompt": "x"}'
STREAMED = b'{"model": "m", "prompt": "x", "stream": true}'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fronts(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fronts]:
    directory: Path = tmp_path_factory.mktemp("fronts")
    async with running_fronts(directory, list(MODES.values())) as fronts:
        fronts.pickers["evicting"].picker._director.pool.put(Objects().objective("batch", -1))
        yield fronts


async def ask_for_batch(fronts: Fronts, front: Front, path: str, body: bytes) -> aiohttp.ClientResponse:
    return await fronts.client.post(fronts.url(front, path), data=body, headers=BATCH)


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_whose_answer_has_not_begun_gets_429(mode: str, fronts: Fronts) -> None:
    front, picker = MODES[mode], fronts.pickers["evicting"]
    fronts.servers.go_on.clear()
    batch = [asyncio.create_task(ask_for_batch(fronts, front, "/v1/silent", BODY)) for _ in SERVERS]
    while picker.in_flight < len(SERVERS):  # noqa: ASYNC110 - what is waited for happens in Envoy
        await asyncio.sleep(0.01)
    assert (await fronts.ask(front, body=BODY)).status == 200
    (taken,), others = await asyncio.wait(batch, return_when=asyncio.FIRST_COMPLETED)
    answer = taken.result()
    assert answer.status == 429
    assert answer.headers["x-llm-d-request-dropped-reason"] == "evicted-priority"
    assert (await answer.json())["error"]["code"] == "evicted"
    fronts.servers.go_on.set()
    (other,) = others
    assert (await other).status == 200
    await picker.settled()


@pytest.mark.parametrize("mode", MODES)
async def test_an_answer_that_has_begun_breaks_off(mode: str, fronts: Fronts) -> None:
    front, picker = MODES[mode], fronts.pickers["evicting"]
    fronts.servers.go_on.clear()
    answers = [await ask_for_batch(fronts, front, "/v1/paused", STREAMED) for _ in SERVERS]
    assert [answer.status for answer in answers] == [200, 200]
    assert (await fronts.ask(front, body=BODY)).status == 200
    fronts.servers.go_on.set()
    ends = await asyncio.gather(*(answer.read() for answer in answers), return_exceptions=True)
    broken = [end for end in ends if isinstance(end, aiohttp.ClientPayloadError)]
    whole = [end for end in ends if isinstance(end, bytes) and end.endswith(b"data: [DONE]\n\n")]
    assert (len(broken), len(whole)) == (1, 1)
    await picker.settled()
