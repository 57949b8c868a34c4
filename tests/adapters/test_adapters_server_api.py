"""vLLM's LoRA API, in all the shapes its versions answer in."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import aiohttp
import pytest

from signalbox.adapters.config import Adapter
from signalbox.adapters.server_api import Listing, ServerAPI, ServerError

if TYPE_CHECKING:
    from tests.adapters.conftest import FakeVLLM

A = Adapter(id="a", source="org/a")


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def api(vllm: FakeVLLM, session: aiohttp.ClientSession) -> ServerAPI:
    return ServerAPI(session, vllm.address, request_timeout=5.0)


async def test_a_load_sends_what_the_reference_sends(vllm: FakeVLLM, api: ServerAPI) -> None:
    assert await api.load(A, "base") is True
    assert vllm.calls == [("load", {"lora_name": "a", "lora_path": "org/a", "base_model_name": "base"})]


@pytest.mark.parametrize("flat", [True, False])
async def test_already_loaded_and_not_there_are_answers_not_errors(vllm: FakeVLLM, api: ServerAPI, flat: bool) -> None:
    vllm.flat_errors = flat
    vllm.adapters["a"] = "org/a"
    assert await api.load(A, "") is False
    assert await api.unload("a") is True
    assert await api.unload("a") is False


@pytest.mark.parametrize("flat", [True, False])
async def test_an_error_says_what_the_server_said(vllm: FakeVLLM, api: ServerAPI, flat: bool) -> None:
    vllm.flat_errors = flat
    vllm.broken.add("org/a")
    with pytest.raises(ServerError, match="status 404: Loading lora a failed: No adapter found for org/a"):
        await api.load(A, "")


async def test_a_server_without_the_lora_routes_says_how_to_start_it(
    vllm: FakeVLLM, session: aiohttp.ClientSession
) -> None:
    elsewhere = ServerAPI(session, f"{vllm.address}/no-such-path")
    with pytest.raises(ServerError, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING=true"):
        await elsewhere.load(A, "")
    with pytest.raises(ServerError, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING=true"):
        await elsewhere.unload("a")


async def test_the_listing_tells_adapters_from_base_models(vllm: FakeVLLM, api: ServerAPI) -> None:
    vllm.adapters["a"] = "org/a"
    assert await api.listing() == Listing({"a": "org/a"}, frozenset({"meta-llama/Llama-3.1-8B-Instruct"}))


@pytest.mark.parametrize(
    ("cards", "default_base", "listing"),
    [
        # An alias of the base model; adapters with and without a parent.
        (
            [
                {"id": "b", "root": "/m", "parent": None, "max_model_len": 9},
                {"id": "alias", "root": "/m", "parent": None, "max_model_len": 9},
                {"id": "x", "root": "/x", "parent": "b", "max_model_len": 9},
                {"id": "y", "root": "/y", "parent": None, "max_model_len": None},
            ],
            "",
            Listing({"x": "/x", "y": "/y"}, frozenset({"b", "alias"})),
        ),
        ([{"id": "b"}, {"id": "x", "parent": "b"}], "", Listing({"x": None}, frozenset({"b"}))),
        ([{"id": "b"}, {"id": "x"}], "b", Listing({"x": None}, frozenset({"b"}))),
        ([{"id": "x"}, {"id": "y", "root": 3}], "", Listing({"x": None, "y": None}, frozenset())),
        ([], "", Listing({}, frozenset())),
    ],
)
async def test_cards_of_other_servers(
    vllm: FakeVLLM, api: ServerAPI, cards: list[object], default_base: str, listing: Listing
) -> None:
    vllm.garbage = json.dumps({"object": "list", "data": cards})
    assert await api.listing(default_base) == listing


@pytest.mark.parametrize(
    "garbage",
    ["", "<html>busy</html>", "{}", "[]", "null", '{"data":null}', '{"data":[1]}', '{"data":[{"id":2}]}', '{"data":{}'],
)
async def test_anything_else_is_no_listing(vllm: FakeVLLM, api: ServerAPI, garbage: str) -> None:
    vllm.garbage = garbage
    with pytest.raises(ServerError, match="not a list of models"):
        await api.listing()


async def test_a_slow_server_is_given_up_on(vllm: FakeVLLM, session: aiohttp.ClientSession) -> None:
    vllm.gate.clear()
    with pytest.raises(ServerError, match=r"POST /v1/load_lora_adapter: no answer within 0\.05 s"):
        await ServerAPI(session, vllm.address, request_timeout=0.05).load(A, "")


async def test_health_is_a_yes_or_a_no(vllm: FakeVLLM, api: ServerAPI) -> None:
    assert await api.healthy()
    vllm.healthy = False
    assert not await api.healthy()
    await vllm.stop()
    assert not await api.healthy()
    with pytest.raises(ServerError, match="GET /v1/models: "):
        await api.listing()


async def test_a_server_can_be_dialled_elsewhere(vllm: FakeVLLM, session: aiohttp.ClientSession) -> None:
    api = ServerAPI(session, "model-server.invalid:8000", dial=vllm.address)
    assert await api.healthy()
    assert api.server == "model-server.invalid:8000"
