import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

Serve = Callable[..., Awaitable[Any]]
LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
TUNED = {"lora_name": "tuned", "lora_path": "someone/tuned"}


def refused(answer: tuple[int, Any]) -> tuple[int, str, str]:
    status, body = answer
    return status, body["error"]["type"], body["error"]["message"]


async def test_models_lists_the_base_first_and_then_its_adapters(serve: Serve) -> None:
    client = await serve("--enable-lora", "--served-model-name", "one", "two", "--max-model-len", "4096")
    await client.post(LOAD, TUNED)
    status, answer = await client.get("/v1/models")
    assert (status, answer["object"]) == (200, "list")
    cards = [(c["id"], c["object"], c["owned_by"], c["root"], c["parent"], c["max_model_len"]) for c in answer["data"]]
    assert cards == [
        ("one", "model", "vllm", "m", None, 4096),
        ("two", "model", "vllm", "m", None, 4096),
        ("tuned", "model", "vllm", "someone/tuned", "one", None),
    ]
    assert answer["data"][0]["permission"][0]["object"] == "model_permission"


async def test_an_adapter_is_served_from_load_to_unload(serve: Serve) -> None:
    client = await serve("--enable-lora")
    body = {"model": "tuned", "prompt": "a", "max_tokens": 8, "ignore_eos": True}
    assert (await client.post("/v1/completions", body))[0] == 404
    assert await client.post(LOAD, TUNED) == (200, "Success: LoRA adapter 'tuned' added successfully.")
    status, answer = await client.post("/v1/completions", body)
    assert (status, answer["model"]) == (200, "tuned")
    _, base = await client.post("/v1/completions", {**body, "model": "m"})
    assert base["choices"][0]["text"] != answer["choices"][0]["text"]
    removed = await client.post(UNLOAD, {"lora_name": "tuned"})
    assert removed == (200, "Success: LoRA adapter 'tuned' removed successfully.")
    assert (await client.post("/v1/completions", body))[0] == 404


async def test_success_is_not_json(serve: Serve) -> None:
    client = await serve("--enable-lora")
    async with client.session.post(LOAD, json=TUNED) as response:
        assert response.content_type == "text/plain"


async def test_loading_twice_is_refused_unless_in_place(serve: Serve) -> None:
    client = await serve("--enable-lora")
    await client.post(LOAD, TUNED)
    assert refused(await client.post(LOAD, TUNED)) == (
        400,
        "InvalidUserInput",
        "The lora adapter 'tuned' has already been loaded. If you want to load the adapter in place, set "
        "'load_inplace' to True.",
    )
    assert (await client.post(LOAD, {**TUNED, "lora_path": "someone/better", "load_inplace": True}))[0] == 200
    assert (await client.get("/v1/models"))[1]["data"][1]["root"] == "someone/better"


async def test_of_two_loads_at_once_the_second_is_refused(serve: Serve) -> None:
    client = await serve("--enable-lora")
    answers = await asyncio.gather(client.post(LOAD, TUNED), client.post(LOAD, TUNED))
    assert sorted(status for status, _ in answers) == [200, 400]


@pytest.mark.parametrize(
    ("path", "body", "status", "kind", "message"),
    [
        (LOAD, {"lora_name": "", "lora_path": "p"}, 400, "InvalidUserInput", "Both 'lora_name' and 'lora_path' must"),
        (LOAD, {"lora_name": "n"}, 400, "Bad Request", "lora_path"),
        (UNLOAD, {"lora_name": "n"}, 404, "NotFoundError", "The lora adapter 'n' cannot be found."),
        (UNLOAD, {"lora_name": ""}, 400, "InvalidUserInput", "'lora_name'"),
        (UNLOAD, {"lora_int_id": 1}, 400, "Bad Request", "lora_name"),
    ],
)
async def test_what_the_endpoints_refuse(
    serve: Serve, path: str, body: dict[str, Any], status: int, kind: str, message: str
) -> None:
    client = await serve("--enable-lora")
    found = refused(await client.post(path, body))
    assert found[:2] == (status, kind)
    assert message in found[2]


async def test_without_the_environment_variable_there_are_no_endpoints(serve: Serve) -> None:
    client = await serve("--enable-lora", runtime_lora=False)
    assert refused(await client.post(LOAD, TUNED)) == (404, "Not Found", "Not Found")


async def test_without_enable_lora_nothing_is_loaded(serve: Serve) -> None:
    client = await serve()
    status, _, message = refused(await client.post(LOAD, TUNED))
    assert status == 400
    assert "--enable-lora" in message


async def test_adapters_of_the_command_line_are_there_from_the_start(serve: Serve) -> None:
    client = await serve("--enable-lora", "--lora-modules", "a=/a", "b=/b")
    assert (await client.post("/v1/completions", {"model": "b", "prompt": "x"}))[0] == 200


async def test_an_adapter_unloaded_while_its_request_is_held_up_is_not_found(serve: Serve) -> None:
    client = await serve("--enable-lora", "--enable-faults", "--lora-modules", "a=/a")
    await client.post("/admin/faults", {"delay": 0.2})
    held = asyncio.ensure_future(client.post("/v1/completions", {"model": "a", "prompt": "x"}))
    while (await client.get("/load"))[1] == {"server_load": 0}:
        assert not held.done()
    await client.post(UNLOAD, {"lora_name": "a"})
    assert refused(await held) == (404, "NotFoundError", "The model `a` does not exist.")


async def test_requests_in_flight_finish_after_an_unload(serve: Serve) -> None:
    client = await serve("--enable-lora", "--speed", "1")
    await client.post(LOAD, TUNED)
    body = {"model": "tuned", "prompt": "a", "max_tokens": 20, "ignore_eos": True}
    running = asyncio.ensure_future(client.post("/v1/completions", body))
    await client.until(lambda: client.server.driver.in_flight > 0)
    assert (await client.post(UNLOAD, {"lora_name": "tuned"}))[0] == 200
    assert not running.done()
    assert (await running)[0] == 200
