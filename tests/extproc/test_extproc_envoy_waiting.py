"""What a real Envoy does with requests that wait in the picker, and how long it waits itself.

docs/flow-control.md tells these facts to whoever sets up a gateway. Should one of these tests fail after an update of
Envoy, that page has to change with it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.extproc.envoy_front import Front, Fronts, running_fronts
from tests.extproc.model_servers import SERVERS

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

DUPLEX = "FULL_DUPLEX_STREAMED"
MODES = ("BUFFERED", "BUFFERED_PARTIAL", "STREAMED", DUPLEX)
PATIENT = {mode: Front(mode, "STREAMED", picker="queueing") for mode in MODES}
HASTY = {
    mode: Front(mode, "STREAMED", name=f"{mode}-hasty", picker="queueing", message_timeout="0.3s") for mode in MODES
}
IDLE = {
    mode: Front(mode, "STREAMED", name=f"{mode}-idle", picker="queueing", stream_idle_timeout="0.5s") for mode in MODES
}
CLOSING = Front("BUFFERED", "STREAMED", name="closing", picker="closing")
BODY = b'{"model": "m", "prompt": "x"}'
STREAMED = b'{"model": "m", "prompt": "x", "stream": true}'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fronts(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fronts]:
    directory: Path = tmp_path_factory.mktemp("fronts")
    async with running_fronts(directory, [*PATIENT.values(), *HASTY.values(), *IDLE.values(), CLOSING]) as fronts:
        yield fronts


@contextlib.asynccontextmanager
async def all_places_taken(fronts: Fronts, front: Front = PATIENT["BUFFERED"]) -> AsyncIterator[None]:
    """Each server has a request that goes on until the block ends."""
    fronts.servers.go_on.clear()
    picker = fronts.pickers[front.picker]
    async with asyncio.TaskGroup() as tasks:
        for _ in SERVERS:
            tasks.create_task(fronts.ask(front, "/v1/paused", STREAMED))
        while picker.in_flight < len(SERVERS):  # noqa: ASYNC110 - what is waited for happens in Envoy
            await asyncio.sleep(0.01)
        yield
        fronts.servers.go_on.set()
    await picker.settled()


async def waiting(fronts: Fronts, count: int, picker: str = "queueing") -> None:
    director = fronts.pickers[picker].picker._director
    async with asyncio.timeout(10):
        while director.waiting != count:  # noqa: ASYNC110 - what is waited for happens in Envoy
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("mode", MODES)
async def test_a_request_waits_and_is_served_in_every_mode(mode: str, fronts: Fronts) -> None:
    async with all_places_taken(fronts):
        asked = asyncio.create_task(fronts.ask(PATIENT[mode], body=BODY))
        await waiting(fronts, 1)
    answer = await asked
    assert (answer.status, answer.routed) == (200, True)


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_that_leaves_while_it_waits_frees_its_place(mode: str, fronts: Fronts) -> None:
    async with all_places_taken(fronts):
        asked = asyncio.create_task(fronts.ask(PATIENT[mode], body=BODY))
        await waiting(fronts, 1)
        asked.cancel()
        await waiting(fronts, 0)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != DUPLEX])
async def test_envoy_gives_up_after_its_message_timeout(mode: str, fronts: Fronts) -> None:
    async with all_places_taken(fronts):
        answer = await fronts.ask(HASTY[mode], body=BODY)
        assert answer.status == 504
        await waiting(fronts, 0)


async def test_in_full_duplex_mode_envoy_has_no_message_timeout(fronts: Fronts) -> None:
    async with all_places_taken(fronts):
        asked = asyncio.create_task(fronts.ask(HASTY[DUPLEX], body=BODY))
        done, _ = await asyncio.wait({asked}, timeout=1.0)
        assert not done
    assert (await asked).status == 200


@pytest.mark.parametrize("mode", MODES)
async def test_in_every_mode_envoy_gives_up_a_stream_on_which_nothing_moves(mode: str, fronts: Fronts) -> None:
    async with all_places_taken(fronts):
        answer = await fronts.ask(IDLE[mode], body=BODY)
        assert answer.status == 504
        await waiting(fronts, 0)


async def test_whoever_still_waits_when_a_picker_has_to_end_is_told(fronts: Fronts) -> None:
    async with all_places_taken(fronts, CLOSING):
        asked = asyncio.create_task(fronts.ask(CLOSING, body=BODY))
        await waiting(fronts, 1, "closing")
        fronts.pickers["closing"].stop.ask()
        answer = await asked
        assert answer.status == 503
        assert answer.headers["x-llm-d-request-dropped-reason"] == "rejected-shutting-down"
        assert answer.headers["retry-after"] == "1"
