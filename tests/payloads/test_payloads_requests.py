"""Reading a request: what it asks, and what is wrong with it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.payloads import PayloadError, Request, error_body, read_request

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", **fields}).encode()


def attempt(path: str, raw: bytes) -> Request | PayloadError:
    try:
        return read_request(path, raw)
    except PayloadError as error:
        return error


@pytest.mark.parametrize(
    ("path", "api"),
    [
        ("/v1/completions", "completions"),
        ("/v1/chat/completions", "chat"),
        ("/openai/v1/chat/completions?api-version=2024", "chat"),
        ("/v1/chat/completions/", "chat"),
        ("/v1/embeddings", "embeddings"),
        ("/v1/responses", "responses"),
        ("/v1/messages", "messages"),
        ("/v1/messages/count_tokens", "other"),
        ("/generate", "generate"),
        ("/inference/v1/generate", "generate"),
        ("/tokenize", "other"),
        ("", "other"),
    ],
)
def test_the_end_of_the_path_names_the_api(path: str, api: str) -> None:
    request = read_request(path, body(prompt="x", input="x", messages=[{"role": "user", "content": "x"}]))
    assert request.api == api


def test_a_completion_request() -> None:
    request = read_request(COMPLETIONS, body(prompt="hello", stream=True, max_tokens=7))
    assert (request.model, request.stream, request.max_tokens, request.prompt_chars) == ("m", True, 7, 5)


@pytest.mark.parametrize("stream", [False, None, "true", 1])
def test_only_true_asks_for_a_stream(stream: object) -> None:
    assert read_request(COMPLETIONS, body(prompt="x", stream=stream)).stream is False


@pytest.mark.parametrize(
    ("path", "fields", "limit"),
    [
        (CHAT, {"max_tokens": 5}, 5),
        (CHAT, {"max_tokens": 5, "max_completion_tokens": 9}, 9),
        (CHAT, {"max_tokens": 5, "max_completion_tokens": None}, 5),
        (CHAT, {"max_tokens": -1}, None),
        (CHAT, {"max_tokens": 1.5}, None),
        (CHAT, {"max_tokens": 10**400}, None),
        (CHAT, {}, None),
        ("/v1/responses", {"max_output_tokens": 3}, 3),
        ("/generate", {"sampling_params": {"max_new_tokens": 11}}, 11),
        ("/inference/v1/generate", {"sampling_params": {"max_tokens": 12}}, 12),
        ("/generate", {"sampling_params": [1]}, None),
        ("/generate", {"sampling_params": {}}, None),
    ],
)
def test_the_limit_of_the_answer(path: str, fields: dict[str, Any], limit: int | None) -> None:
    prompt: dict[str, Any] = {"messages": [{"role": "user", "content": "x"}], "input": "x"}
    assert read_request(path, body(**prompt, **fields)).max_tokens == limit


@pytest.mark.parametrize(
    ("raw", "says", "param"),
    [
        (b"", "not JSON: it ends too early, at byte 0 (line 1)", None),
        (b"hello", "not JSON: invalid character at byte 0 (line 1)", None),
        (b'{\n "model": "m",\n}', "trailing comma in object at byte 17 (line 3)", None),
        (b'{"model": "m"', "ends too early, at byte 13 (line 1)", None),
        (b'\xef\xbb\xbf{"model":"m"}', "not JSON: invalid character at byte 0", None),
        (b'{"\xff": 1}', "not valid UTF-8", None),
        (b'["model"]', "must be a JSON object: expected object, got array", None),
        (b"7", "must be a JSON object", None),
        (b'{"a":' + b"[" * 100_000, "nested too deeply", None),
        (b"{}", "has no model", "model"),
        (b'{"model": null}', "has no model", "model"),
        (b'{"model": 7}', "'model' must be a string", "model"),
        (b'{"model": ["m"]}', "'model' must be a string", "model"),
        (b'{"model": ""}', "'model' must not be empty", "model"),
        (b'{"model": "\\ud83d"}', "not valid Unicode", "model"),
        (b'{"model": "\xff"}', "not valid Unicode", "model"),
        (b'{"model": "m", "model": 1}', "'model' must be a string", "model"),
    ],
)
def test_what_is_no_request_is_refused_with_a_reason(raw: bytes, says: str, param: str | None) -> None:
    with pytest.raises(PayloadError) as caught:
        read_request("/tokenize", raw)
    assert caught.value.status == 400
    assert says in caught.value.message
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        (COMPLETIONS, {}, "prompt"),
        (COMPLETIONS, {"prompt": None}, "prompt"),
        (CHAT, {}, "messages"),
        (CHAT, {"prompt": "x"}, "messages"),
        (CHAT, {"messages": []}, "messages"),
        (CHAT, {"messages": "hi"}, "messages"),
        (CHAT, {"messages": None}, "messages"),
        ("/v1/messages", {"messages": []}, "messages"),
        ("/v1/embeddings", {}, "input"),
        ("/v1/responses", {"prompt": "x"}, "input"),
        ("/v1/responses", {"input": None}, "input"),
    ],
)
def test_each_api_needs_its_prompt(path: str, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(PayloadError) as caught:
        read_request(path, body(**fields))
    assert (caught.value.status, caught.value.param) == (400, param)
    assert f"'{param}'" in caught.value.message


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/tokenize", {}),
        ("/generate", {}),
        (COMPLETIONS, {"prompt": ""}),
        (COMPLETIONS, {"prompt_embeds": "AAAA"}),
        ("/v1/embeddings", {"messages": [{"role": "user", "content": "x"}]}),
    ],
)
def test_what_the_server_can_judge_is_left_to_it(path: str, fields: dict[str, Any]) -> None:
    assert read_request(path, body(**fields)).model == "m"


def test_an_empty_list_of_messages_is_seen_through_whitespace() -> None:
    with pytest.raises(PayloadError, match="at least one message"):
        read_request(CHAT, b'{"model": "m", "messages": [ \n ]}')


@pytest.mark.parametrize(("count", "accepted"), [(4000, True), (5000, False), (50_000, False)])
def test_the_number_of_top_level_fields_is_bounded(count: int, accepted: bool) -> None:
    raw = b'{"model":"m"' + b',"a":1' * count + b"}"
    if accepted:
        assert read_request("/x", raw).model == "m"
    else:
        with pytest.raises(PayloadError, match="more than 4096 top-level fields"):
            read_request("/x", raw)


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9000}}


@pytest.mark.parametrize(
    ("path", "fields", "size"),
    [
        (COMPLETIONS, {"prompt": ["abc", "de"]}, 5),
        (COMPLETIONS, {"prompt": [1, 22, 333]}, 12),
        (COMPLETIONS, {"prompt": [[1, 2], [3]]}, 12),
        (COMPLETIONS, {"prompt": []}, 0),
        (COMPLETIONS, {"prompt": {"a": 1}}, 0),
        ("/v1/embeddings", {"input": ["abc", "de"]}, 5),
        (CHAT, {"messages": [{"role": "user", "content": "hello"}, {"role": "user", "content": "you"}]}, 8),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": "look"}, IMAGE]}]}, 4),
        (CHAT, {"messages": [{"role": "assistant", "content": None, "tool_calls": [1]}]}, 3),
        (CHAT, {"messages": [{"role": "user", "content": "x"}], "tools": ["ab"]}, 7),
        (CHAT, {"messages": [1, 2]}, 0),
        ("/v1/messages", {"system": "rule", "messages": [{"role": "user", "content": "x"}]}, 5),
        (
            "/v1/messages",
            {"messages": [{"content": [{"type": "tool_result", "content": [{"type": "text", "text": "sun"}]}]}]},
            3,
        ),
        ("/v1/responses", {"input": "abc", "instructions": "de"}, 5),
        ("/v1/responses", {"input": [{"role": "user", "content": [{"type": "input_text", "text": "abc"}]}]}, 3),
        ("/v1/responses", {"input": [{"type": "function_call_output", "output": "42"}]}, 2),
        ("/generate", {"text": "abc"}, 3),
        ("/generate", {"input_ids": [1, 2]}, 8),
        ("/tokenize", {"messages": [{"role": "user", "content": "abcd"}]}, 4),
    ],
)
def test_the_size_of_the_prompt_counts_text_and_no_media(path: str, fields: dict[str, Any], size: int) -> None:
    assert read_request(path, body(**fields)).prompt_chars == size


def test_a_prompt_of_very_many_parts_counts_as_its_bytes() -> None:
    raw = b'{"model":"m","messages":[' + b",".join([b"[{}]"] * 250_000) + b"]}"
    assert read_request(CHAT, raw).prompt_chars == 250_000 * 5 + 1


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader(raw: bytes) -> None:
    for path in (CHAT, "/x"):
        outcome = attempt(path, raw)
        assert outcome.status == 400 if isinstance(outcome, PayloadError) else outcome.model


LETTERS = 'ab é"\\\ud800,[{'
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(LETTERS, max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(LETTERS, max_size=3), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("messages", "prompt", "input", "tools", "system", "instructions", "max_tokens", "stream", "sampling_params")


@given(
    st.sampled_from([CHAT, COMPLETIONS, "/v1/responses", "/v1/messages", "/v1/embeddings", "/generate", "/x"]),
    st.dictionaries(st.sampled_from(FIELDS), JSON),
    st.sampled_from(["content", "text", "x"]),
)
def test_no_value_of_any_field_crashes_the_reader(path: str, fields: dict[str, Any], inner: str) -> None:
    for shape in (fields, {name: [{inner: value}] for name, value in fields.items()}):
        outcome = attempt(path, body(**shape))
        assert outcome.param in FIELDS if isinstance(outcome, PayloadError) else outcome.prompt_chars >= 0


def test_an_error_body_is_openais_nested_object() -> None:
    raw = error_body("no model 'x'", type="invalid_request_error", code="model_not_found", param="model")
    assert json.loads(raw) == {
        "error": {
            "message": "no model 'x'",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
    }


def test_an_error_body_quotes_what_utf8_cannot() -> None:
    assert json.loads(error_body("bad \ud800 name", "server_error", None))["error"]["message"] == "bad ? name"
