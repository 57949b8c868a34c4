import io
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

Serve = Callable[..., Awaitable[Any]]


def error(message: str, kind: str, param: str | None, code: int) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


async def test_an_unknown_model(serve: Serve) -> None:
    client = await serve()
    for path, body in (
        ("/v1/completions", {"model": "x", "prompt": "a"}),
        ("/v1/chat/completions", {"model": "x", "messages": []}),
    ):
        status, answer = await client.post(path, body)
        assert status == 404
        assert answer == error("The model `x` does not exist.", "NotFoundError", "model", 404)


async def test_a_prompt_longer_than_the_context(serve: Serve) -> None:
    client = await serve("--max-model-len", "64")
    status, answer = await client.post("/v1/completions", {"prompt": list(range(60)), "max_tokens": 5})
    assert status == 400
    message = (
        "This model's maximum context length is 64 tokens. However, you requested 5 output tokens and your prompt "
        "contains 60 input tokens, for a total of 65 tokens. Please reduce the length of the input prompt or the "
        "number of requested output tokens."
    )
    assert answer == error(message, "BadRequestError", "input_tokens", 400)
    status, _ = await client.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "word " * 99}]})
    assert status == 400


@pytest.mark.parametrize(
    ("body", "kind", "param"),
    [
        ({}, "Bad Request", "prompt"),
        ({"prompt": 3}, "Bad Request", "prompt"),
        ({"prompt": []}, "BadRequestError", "prompt"),
        ({"prompt": ["a", 1]}, "Bad Request", "prompt"),
        ({"prompt": [1, -1]}, "Bad Request", "prompt"),
        ({"prompt": [True]}, "Bad Request", "prompt"),
        ({"prompt": [[]]}, "Bad Request", "prompt"),
        ({"prompt": "a", "max_tokens": "many"}, "Bad Request", "max_tokens"),
        ({"prompt": "a", "max_tokens": 0}, "BadRequestError", "max_tokens"),
        ({"prompt": "a", "n": 0}, "BadRequestError", "n"),
        ({"prompt": "a", "min_tokens": -1}, "BadRequestError", "min_tokens"),
        ({"prompt": "a", "min_tokens": 9, "max_tokens": 8}, "BadRequestError", "min_tokens"),
        ({"prompt": "a", "temperature": -1}, "BadRequestError", "temperature"),
        ({"prompt": "a", "top_p": 0}, "BadRequestError", "top_p"),
        ({"prompt": "a", "stream_options": {"include_usage": True}}, "Bad Request", "stream_options"),
        ({"prompt": "a", "stop": 7}, "Bad Request", "stop"),
    ],
)
async def test_a_bad_field_is_named(serve: Serve, body: dict[str, Any], kind: str, param: str) -> None:
    client = await serve()
    status, answer = await client.post("/v1/completions", body)
    assert status == 400
    assert (answer["error"]["type"], answer["error"]["param"], answer["error"]["code"]) == (kind, param, 400)


async def test_fields_nobody_knows_are_ignored(serve: Serve) -> None:
    client = await serve()
    status, _ = await client.post("/v1/completions", {"prompt": "a", "cache_salt": "s", "frobnicate": {"x": 1}})
    assert status == 200


LENIENT = [  # what vLLM's decoder lets pass
    b'{"prompt": "\\ud800"}',
    b'{"prompt": "a", "temperature": NaN}',
    b'\xef\xbb\xbf{"prompt": "a"}',
    '{"prompt": "a"}'.encode("utf-16"),
]


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b'{"prompt": "a"} x', b"[]", *LENIENT])
async def test_a_body_that_is_not_the_json_asked_for(serve: Serve, data: bytes) -> None:
    client = await serve()
    async with client.session.post(
        "/v1/completions", data=data, headers={"Content-Type": "application/json"}
    ) as response:
        assert response.status == 400
        assert (await response.json())["error"]["type"] == "Bad Request"


@pytest.mark.parametrize(("content_type", "status"), [("text/plain", 400), ("application/json; charset=utf-8", 200)])
async def test_the_content_type_must_be_json(serve: Serve, content_type: str, status: int) -> None:
    client = await serve()
    async with client.session.post(
        "/v1/completions", data=b'{"prompt": "a"}', headers={"Content-Type": content_type}
    ) as response:
        assert response.status == status


@pytest.mark.parametrize(
    ("method", "path", "status", "phrase"),
    [("GET", "/nowhere", 404, "Not Found"), ("GET", "/v1/completions", 405, "Method Not Allowed")],
)
async def test_unknown_paths_and_methods(serve: Serve, method: str, path: str, status: int, phrase: str) -> None:
    client = await serve()
    async with client.session.request(method, path) as response:
        assert response.status == status
        assert await response.json() == error(phrase, phrase, None, status)


async def test_a_key_guards_v1_only(serve: Serve) -> None:
    client = await serve("--api-key", "secret")
    assert await client.get("/v1/models") == (401, {"error": "Unauthorized"})
    assert (await client.get("/health"))[0] == 200
    assert (await client.get("/metrics"))[0] == 200
    async with client.session.get("/v1/models", headers={"Authorization": "Bearer secret"}) as response:
        assert response.status == 200


async def test_a_body_over_the_limit(serve: Serve) -> None:
    client = await serve()
    async with client.session.post(
        "/v1/completions",
        data=io.BytesIO(bytes(64 * 1024**2 + 1)),
        headers={"Content-Type": "application/json"},
    ) as response:
        assert response.status == 413
        assert (await response.json())["error"]["code"] == 413


async def test_a_megabyte_is_no_trouble(serve: Serve) -> None:
    client = await serve("--max-model-len", "400000")
    body = io.BytesIO(json.dumps({"prompt": "word " * 210_000, "max_tokens": 1}).encode())
    async with client.session.post(
        "/v1/completions", data=body, headers={"Content-Type": "application/json"}
    ) as response:
        assert response.status == 200
        assert (await response.json())["usage"]["prompt_tokens"] > 200_000
