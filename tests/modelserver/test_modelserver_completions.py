import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

Serve = Callable[..., Awaitable[Any]]


def events(stream: str) -> list[Any]:
    """The JSON of each event; the stream must end with [DONE]."""
    frames = stream.split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    assert all(frame.startswith("data: ") for frame in frames[:-2])
    return [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]


async def test_a_completion_has_vllms_shape(serve: Serve) -> None:
    client = await serve()
    status, answer = await client.post("/v1/completions", {"model": "m", "prompt": "San Francisco", "max_tokens": 5})
    assert status == 200
    assert answer["id"].startswith("cmpl-")
    assert (answer["object"], answer["model"]) == ("text_completion", "m")
    (choice,) = answer["choices"]
    assert (choice["index"], choice["finish_reason"], choice["stop_reason"]) == (0, "length", None)
    assert choice["text"].startswith(" ")
    assert answer["usage"] == {
        "prompt_tokens": 4,  # begin of text, "San", " Franci", "sco"
        "total_tokens": 9,
        "completion_tokens": 5,
        "prompt_tokens_details": None,
    }


async def test_sixteen_tokens_are_the_default(serve: Serve) -> None:
    client = await serve()
    _, answer = await client.post("/v1/completions", {"prompt": "a", "ignore_eos": True})
    assert answer["usage"]["completion_tokens"] == 16


async def test_the_same_request_gets_the_same_text_from_every_server(serve: Serve) -> None:
    one, other = await serve(), await serve()
    body = {"prompt": "a", "max_tokens": 30}
    texts = [(await client.post("/v1/completions", body))[1]["choices"][0]["text"] for client in (one, other, one)]
    assert len(set(texts)) == 1
    seeded = (await one.post("/v1/completions", {**body, "seed": 5}))[1]["choices"][0]["text"]
    assert seeded != texts[0]


@pytest.mark.parametrize(
    ("prompt", "choices", "prompt_tokens"),
    [
        ("a b", 1, 3),
        (["a b", "c"], 2, 5),
        ([11, 12, 13], 1, 3),
        ([[11, 12], [13]], 2, 3),
    ],
)
async def test_prompts_come_in_four_forms(serve: Serve, prompt: Any, choices: int, prompt_tokens: int) -> None:
    client = await serve()
    _, answer = await client.post("/v1/completions", {"prompt": prompt, "max_tokens": 2, "ignore_eos": True})
    assert [choice["index"] for choice in answer["choices"]] == list(range(choices))
    assert answer["usage"]["prompt_tokens"] == prompt_tokens
    assert answer["usage"]["completion_tokens"] == 2 * choices


async def test_n_answers_differ_and_their_prompt_counts_once(serve: Serve) -> None:
    client = await serve()
    _, answer = await client.post("/v1/completions", {"prompt": "a b", "n": 3, "max_tokens": 9, "ignore_eos": True})
    assert len({choice["text"] for choice in answer["choices"]}) == 3
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (3, 27)


async def test_a_stream_has_one_event_per_token_and_says_the_same(serve: Serve) -> None:
    client = await serve()
    body = {"prompt": "a", "max_tokens": 6, "ignore_eos": True}
    _, whole = await client.post("/v1/completions", body)
    async with client.session.post("/v1/completions", json={**body, "stream": True}) as response:
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        chunks = events(await response.text())
    assert [len(chunk["choices"]) for chunk in chunks] == [1] * 6
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == whole["choices"][0]["text"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 5 + ["length"]
    assert len({chunk["id"] for chunk in chunks}) == 1


async def test_usage_comes_last_and_only_when_asked_for(serve: Serve) -> None:
    client = await serve()
    body = {"prompt": "a", "max_tokens": 3, "stream": True, "ignore_eos": True}
    _, text = await client.post("/v1/completions", body)
    assert all(chunk["usage"] is None for chunk in events(text))
    _, text = await client.post("/v1/completions", {**body, "stream_options": {"include_usage": True}})
    last = events(text)[-1]
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 3


async def test_a_chat_stream_begins_with_the_role_and_ends_with_the_reason(serve: Serve) -> None:
    client = await serve()
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 3, "stream": True, "ignore_eos": True}
    _, text = await client.post("/v1/chat/completions", {**body, "stream_options": {"include_usage": True}})
    first, *content, usage = events(text)
    assert first["object"] == "chat.completion.chunk"
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [chunk["choices"][0]["finish_reason"] for chunk in content] == [None, None, "length"]
    assert all("usage" not in chunk for chunk in content)
    assert usage["usage"]["completion_tokens"] == 3


async def test_a_chat_answer_has_vllms_shape(serve: Serve) -> None:
    client = await serve("--served-model-name", "alias", "second")
    parts = [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "http://x/y.png"}}]
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f"}}]},
        {"role": "tool", "content": "42", "tool_call_id": "1"},
    ]
    body = {"model": "second", "messages": messages, "max_tokens": 9, "max_completion_tokens": 4, "ignore_eos": True}
    status, answer = await client.post("/v1/chat/completions", {**body, "tools": [{"type": "function"}]})
    assert status == 200
    assert (answer["object"], answer["model"], answer["id"][:9]) == ("chat.completion", "second", "chatcmpl-")
    assert answer["choices"][0]["message"]["role"] == "assistant"
    assert answer["usage"]["completion_tokens"] == 4


async def test_a_chat_without_max_tokens_runs_to_its_own_end(serve: Serve) -> None:
    client = await serve()
    _, answer = await client.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}]})
    assert answer["choices"][0]["finish_reason"] == "stop"


async def test_cached_tokens_are_shown_when_switched_on(serve: Serve) -> None:
    client = await serve("--enable-prompt-tokens-details")
    body = {"prompt": list(range(100)), "max_tokens": 1}
    answers = [(await client.post("/v1/completions", body))[1] for _ in range(2)]
    assert [a["usage"]["prompt_tokens_details"]["cached_tokens"] for a in answers] == [0, 96]


async def test_a_second_turn_finds_the_first_in_the_cache(serve: Serve) -> None:
    client = await serve("--enable-prompt-tokens-details")
    messages = [{"role": "user", "content": "tell me about trains " * 10}]
    body = {"messages": messages, "max_tokens": 64, "ignore_eos": True}
    _, first = await client.post("/v1/chat/completions", body)
    messages += [first["choices"][0]["message"], {"role": "user", "content": "go on"}]
    _, second = await client.post("/v1/chat/completions", body)
    cached = second["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert cached >= first["usage"]["total_tokens"] - 2 * 16
    assert cached > first["usage"]["prompt_tokens"]


async def test_a_client_that_goes_away_frees_its_slot_and_blocks(serve: Serve) -> None:
    client = await serve("--speed", "0.1")  # 20 s for an answer: nothing ends by itself here
    engine = client.server.driver.engine
    body = {"messages": [{"role": "user", "content": "hi"}], "stream": True}
    for path, asked in (("/v1/chat/completions", body), ("/v1/completions", {"prompt": "x"})):
        request = asyncio.ensure_future(client.post(path, asked))
        await client.until(lambda: engine.stats().running == 1)
        assert engine.stats().live_blocks > 0
        request.cancel()
        await client.until(lambda: client.server.driver.in_flight == 0)
        assert (engine.stats().running, engine.stats().live_blocks) == (0, 0)
    _, page = await client.get("/metrics")
    assert 'finished_reason="abort"} 2.0' in page


async def test_the_request_id_is_the_clients(serve: Serve) -> None:
    client = await serve("--enable-request-id-headers")
    async with client.session.post(
        "/v1/completions", json={"prompt": "a"}, headers={"X-Request-Id": "seven"}
    ) as response:
        assert response.headers["X-Request-Id"] == "seven"
        assert (await response.json())["id"] == "cmpl-seven"


async def test_injected_errors_are_spread_evenly(serve: Serve) -> None:
    client = await serve("--enable-faults")
    assert (await client.post("/admin/faults", {"error_rate": 0.5, "error_status": 503}))[0] == 200
    statuses = [(await client.post("/v1/completions", {"prompt": "a", "max_tokens": 1}))[0] for _ in range(6)]
    assert statuses == [200, 503, 200, 503, 200, 503]
    assert (await client.get("/admin/faults"))[1]["error_rate"] == 0.5
    assert (await client.post("/admin/faults", {"eror_rate": 1}))[0] == 400


async def test_an_injected_reset_breaks_the_stream_after_some_tokens(serve: Serve) -> None:
    client = await serve("--enable-faults")
    await client.post("/admin/faults", {"reset_after_tokens": 3})
    body = {"prompt": "a", "max_tokens": 20, "ignore_eos": True, "stream": True}
    async with client.session.post("/v1/completions", json=body) as response:
        with pytest.raises(aiohttp.ClientError):
            await response.content.read()
    assert client.server.driver.in_flight == 0


async def test_a_hanging_server_answers_nothing_until_the_client_leaves(serve: Serve) -> None:
    client = await serve("--enable-faults")
    await client.post("/admin/faults", {"hang": True})
    call = asyncio.ensure_future(client.post("/v1/completions", {"prompt": "a"}))
    while (await client.get("/load"))[1] == {"server_load": 0}:
        assert not call.done()
    call.cancel()
    while (await client.get("/load"))[1] != {"server_load": 0}:
        assert call.cancelled()
    await client.post("/admin/faults", {})
    assert (await client.post("/v1/completions", {"prompt": "a"}))[0] == 200


async def test_faults_are_not_served_unless_asked_for(serve: Serve) -> None:
    client = await serve()
    assert (await client.get("/admin/faults"))[0] == 404
