import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

Serve = Callable[..., Awaitable[Any]]


async def test_health_ping_version_and_load(serve: Serve) -> None:
    client = await serve()
    assert await client.get("/health") == (200, "")
    assert (await client.get("/ping"))[0] == 200
    assert (await client.get("/version"))[1]["version"].count(".") == 2
    assert (await client.get("/load"))[1] == {"server_load": 0}


async def test_tokenize_and_back(serve: Serve) -> None:
    client = await serve("--max-model-len", "4096")
    _, answer = await client.post("/tokenize", {"prompt": "fresh bread", "return_token_strs": True})
    assert answer["token_strs"] == ["<|begin_of_text|>", "fresh", " bread"]
    assert (answer["count"], answer["max_model_len"]) == (3, 4096)
    assert (await client.post("/detokenize", {"tokens": answer["tokens"]}))[1] == {"prompt": "fresh bread"}


async def test_tokenizing_a_chat_counts_what_the_chat_counts(serve: Serve) -> None:
    client = await serve()
    messages = [{"role": "user", "content": "fresh bread"}]
    _, counted = await client.post("/tokenize", {"messages": messages})
    _, answer = await client.post("/v1/chat/completions", {"messages": messages, "max_tokens": 1})
    assert counted["count"] == answer["usage"]["prompt_tokens"]
    assert (await client.post("/tokenize", {}))[0] == 400


async def test_a_server_that_starts_up_is_not_healthy_yet(serve: Serve) -> None:
    assert (await (await serve("--startup-seconds", "1000")).get("/health"))[0] == 503


async def test_a_draining_server_is_unhealthy_and_still_serves(serve: Serve) -> None:
    client = await serve()
    drain = asyncio.ensure_future(client.server.drain(quiet=0.3, longest=30.0))
    await asyncio.sleep(0)
    assert (await client.get("/health"))[0] == 503
    async with client.session.post("/v1/completions", json={"prompt": "a"}) as response:
        assert response.status == 200
        assert response.headers["Connection"] == "close"  # so that a proxy opens its next one elsewhere
    assert await drain


async def test_draining_waits_for_requests_in_flight(serve: Serve) -> None:
    client = await serve("--speed", "1")
    body = {"prompt": "a", "max_tokens": 10, "ignore_eos": True}
    running = asyncio.ensure_future(client.post("/v1/completions", body))
    await client.until(lambda: client.server.driver.in_flight > 0)
    assert await client.server.drain(quiet=0.0, longest=30.0)
    assert (await running)[0] == 200


async def test_draining_gives_up_after_its_longest_time(serve: Serve) -> None:
    client = await serve("--speed", "0.001")
    running = asyncio.ensure_future(client.post("/v1/completions", {"prompt": "a"}))
    await client.until(lambda: client.server.driver.in_flight > 0)
    assert not await client.server.drain(quiet=0.0, longest=0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_many_requests_at_once_all_get_their_tokens(serve: Serve) -> None:
    client = await serve("--max-num-seqs", "8")
    bodies = [{"prompt": f"p{n}", "max_tokens": n % 7 + 1, "ignore_eos": True} for n in range(60)]
    answers = await asyncio.gather(*(client.post("/v1/completions", body) for body in bodies))
    assert [answer["usage"]["completion_tokens"] for _, answer in answers] == [n % 7 + 1 for n in range(60)]
    stats = client.server.driver.engine.stats()
    assert (stats.running, stats.waiting, stats.live_blocks) == (0, 0, 0)
