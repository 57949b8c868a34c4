"""Reading an answer as it passes by: usage, errors and pieces of content, however the bytes are cut."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.payloads import ResponseReader, Usage
from signalbox.payloads.answers import TAIL_BYTES
from signalbox.payloads.sse import MAX_EVENT_BYTES

SSE = "text/event-stream; charset=utf-8"
JSON = "application/json"
USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}


def sse(*events: Any) -> bytes:
    return b"".join(
        b"data: " + (event if isinstance(event, bytes) else json.dumps(event).encode()) + b"\n\n" for event in events
    )


def delta(text: str, **more: Any) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}], **more}


def read(content_type: str, *chunks: bytes) -> ResponseReader:
    reader = ResponseReader(content_type)
    for chunk in chunks:
        reader.feed(chunk)
    return reader


CHAT_STREAM = sse(
    {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
    delta("Hi"),
    delta(' "usage" of "error"'),
    {"choices": [], "usage": USAGE},
    b"[DONE]",
)
ANTHROPIC_STREAM = b"".join(
    f"event: {event['type']}\n".encode() + sse(event)
    for event in (
        {"type": "message_start", "message": {"content": [], "usage": {"input_tokens": 9, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}},
        {"type": "message_stop"},
    )
)
RESPONSES_STREAM = sse(
    {"type": "response.created", "response": {"id": "r", "error": None, "usage": None}},
    {"type": "response.output_text.delta", "delta": "Hi"},
    {
        "type": "response.completed",
        "response": {
            "error": None,
            "usage": {"input_tokens": 3, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 1}},
        },
    },
)


@pytest.mark.parametrize(
    ("answer", "usage"),
    [
        ({"object": "chat.completion", "usage": USAGE}, Usage(5, 7, None)),
        ({"object": "chat.completion", "usage": USAGE | {"prompt_tokens_details": None}}, Usage(5, 7, None)),
        ({"usage": USAGE | {"prompt_tokens_details": {"cached_tokens": 4}}}, Usage(5, 7, 4)),
        ({"usage": USAGE | {"prompt_tokens_details": {"cached_tokens": None}}}, Usage(5, 7, None)),
        ({"usage": USAGE | {"prompt_tokens_details": {"cached_tokens": 0}}}, Usage(5, 7, 0)),
        ({"object": "list", "data": [], "usage": {"prompt_tokens": 8, "total_tokens": 8}}, Usage(8, 0, None)),
        ({"object": "response", "usage": {"input_tokens": 3, "output_tokens": 2}}, Usage(3, 2, None)),
        (
            {"usage": {"input_tokens": 3, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 1}}},
            Usage(3, 2, 1),
        ),
        # Anthropic counts cached tokens beside the others.
        (
            {"usage": {"input_tokens": 3, "output_tokens": 2, "cache_read_input_tokens": 10}},
            Usage(13, 2, 10),
        ),
        (
            {"usage": {"input_tokens": 3, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 0}},
            Usage(8, 0, 0),
        ),
        ({"usage": None}, None),
        ({"usage": {}}, None),
        ({"usage": [1]}, None),
        ({"usage": {"prompt_tokens": "5"}}, None),
        ({"usage": {"prompt_tokens": -5, "completion_tokens": True}}, None),
        ({"message": "not an object", "response": 7}, None),
        ({"id": 1}, None),
        ([1], None),
    ],
)
def test_usage_of_a_json_answer(answer: Any, usage: Usage | None) -> None:
    assert read(JSON, json.dumps(answer).encode()).finish() == usage


@pytest.mark.parametrize(
    ("stream", "usage"),
    [
        (CHAT_STREAM, Usage(5, 7, None)),
        (ANTHROPIC_STREAM, Usage(9, 4, None)),
        (RESPONSES_STREAM, Usage(3, 2, 1)),
        (sse(delta("a", usage=None), delta("b", usage=USAGE | {"prompt_tokens_details": None})), Usage(5, 7, None)),
        (sse(delta("a", usage=None), delta('"usage"', usage=None)), None),
        (sse({"object": "text_completion", "choices": [{"text": "a"}], "usage": None}), None),
        (sse(delta("a", usage=USAGE), delta("b", usage=USAGE | {"completion_tokens": 8})), Usage(5, 8, None)),
        (sse({"choices": [], "usage": USAGE}), Usage(5, 7, None)),
        (sse({"choices": [], "usage": USAGE})[:-2], Usage(5, 7, None)),
        (b": keep-alive\n\n" + sse({"usage": USAGE}) + b": bye\n\n", Usage(5, 7, None)),
        (
            b'id: 1\ndata: {"usage":\ndata: {"prompt_tokens": 5,\ndata:"completion_tokens": 7}}\n\n',
            Usage(5, 7, None),
        ),
        (b'data:{"usage":{"prompt_tokens":5,"completion_tokens":7}}\n\n\n\n', Usage(5, 7, None)),
        (b"", None),
        (b'data: {"usage": garbage\n\ndata\n\n"usage"\n\n', None),
        (sse({"delta": {"tool_calls": [{"function": {"arguments": '{"a"'}}]}}), None),
    ],
)
def test_usage_of_a_stream(stream: bytes, usage: Usage | None) -> None:
    reader = read(SSE, stream)
    assert reader.finish() == usage
    assert reader.error is False


@pytest.mark.parametrize(
    "event",
    [
        {"error": {"message": "boom", "code": 500}},
        {"error": "boom"},
        {"type": "error", "code": "x", "message": "boom"},
        {"type": "error", "error": {"type": "overloaded_error", "message": "boom"}},
        {"type": "response.failed", "response": {"error": {"message": "boom"}}},
    ],
)
def test_an_error_in_mid_stream_is_seen(event: dict[str, Any]) -> None:
    reader = read(SSE, sse(delta("Hi")))
    assert reader.error is False
    reader.feed(sse(event, b"[DONE]"))
    assert reader.error is True


@pytest.mark.parametrize("between", [b"", b"\n"], ids=["nothing", "one line end"])
def test_usage_is_found_where_a_server_leaves_out_blank_lines(between: bytes) -> None:
    event = b"data: " + json.dumps({"usage": USAGE}).encode()
    reader = read(SSE, b'data: {"choices":[]}', between, event, b"\ndata: [DONE]")
    assert reader.finish() == Usage(5, 7, None)


def test_an_error_answer_in_json_is_seen_at_its_end() -> None:
    reader = read(JSON, b'{"error": {"message"', b': "boom"}}')
    assert reader.finish() is None
    assert reader.error is True


STREAMS = st.sampled_from([CHAT_STREAM, ANTHROPIC_STREAM, RESPONSES_STREAM])
LINE_END = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(STREAMS, LINE_END, st.lists(st.integers(0, 1000), max_size=12), st.booleans())
def test_where_a_stream_is_cut_makes_no_difference(stream: bytes, end: bytes, cuts: list[int], fine: bool) -> None:
    whole = read(SSE, stream)
    text = stream.replace(b"\n", end)
    edges = list(range(len(text) + 1)) if fine else sorted({0, len(text), *(cut % len(text) for cut in cuts)})
    pieces = read(SSE, *(text[a:b] for a, b in pairwise(edges)))
    assert pieces.finish() == whole.finish() is not None


@given(st.sampled_from([SSE, JSON, "", "audio/mpeg"]), st.lists(st.binary(max_size=60), max_size=6))
def test_no_bytes_crash_the_reader(content_type: str, chunks: list[bytes]) -> None:
    reader = read(content_type, *chunks)
    assert reader.finish() is None
    assert reader.finish() is None


FRAGMENTS = st.sampled_from(
    [
        b"data: ",
        b"data:",
        b'{"usage":',
        b'"error":',
        b"{",
        b"}",
        b"[" * 5000,
        b'"response":',
        b"\n\n",
        b"\r",
        b"\xff",
        b"1",
    ]
)


@given(st.sampled_from([SSE, JSON]), st.lists(FRAGMENTS, max_size=15))
def test_no_mutilated_event_crashes_the_reader(content_type: str, chunks: list[bytes]) -> None:
    assert read(content_type, *chunks).finish() is None


def test_other_content_passes_unread() -> None:
    assert read("audio/mpeg", json.dumps({"usage": USAGE}).encode()).finish() is None


def test_a_long_json_answer_gives_its_usage_from_a_bounded_tail() -> None:
    reader = read(JSON, b'{"data":"')
    for _ in range(70):
        reader.feed(b"x" * 62_000)
        assert reader.held <= 2 * TAIL_BYTES
    reader.feed(b'",' + json.dumps({"usage": USAGE})[1:].encode())
    assert reader.finish() == Usage(5, 7, None)


def test_even_one_long_piece_is_not_kept_whole() -> None:
    assert read(JSON, b'{"data":"' + bytes(3_900_000)).held == TAIL_BYTES


@pytest.mark.parametrize("deeper", [b'"metadata":{"usage":{"prompt_tokens":900}}', b'"a":[{"b":{"usage":{}}}]'])
def test_of_a_long_json_answer_the_outermost_usage_counts(deeper: bytes) -> None:
    usage = json.dumps({"usage": USAGE})[1:-1].encode()
    assert read(JSON, b'{"data":"' + b"x" * 200_000 + b'",' + usage + b"," + deeper + b"}\n").finish() == Usage(
        5, 7, None
    )


def test_a_reader_that_is_to_forget_keeps_nothing_and_finds_nothing() -> None:
    for content_type in (JSON, SSE):
        reader = read(content_type, b'data: {"usage"')
        assert reader.held == 14
        reader.forget()
        reader.feed(b"more" * 1000)
        assert (reader.held, reader.finish()) == (0, None)


def test_a_json_answer_cut_off_after_its_usage_still_gives_it() -> None:
    assert read(JSON, b'{"usage": {"a": 1}, "x": {"usage": {"prompt_tokens": 5}, "y": [').finish() == Usage(5, 0, None)
    assert read(JSON, b'{"x": {"usage": {"prompt_tokens": 5}, "usage": {"prompt_tok').finish() == Usage(5, 0, None)


def test_an_event_without_end_takes_bounded_memory_and_hides_nothing_after_it() -> None:
    reader = read(SSE, b"data: ")
    for size in (1_000_000, *[60_000] * 20):
        reader.feed(b"x" * size)
        assert reader.held <= MAX_EVENT_BYTES
    reader.feed(b"\n\n" + CHAT_STREAM)
    assert reader.finish() == Usage(5, 7, None)


def test_a_long_event_gives_the_usage_at_its_end() -> None:
    reader = read(SSE, b'data: {"type":"response.completed","response":{"output":"', *[b"x" * 60_000] * 9)
    reader.feed(b'","usage":{"input_tokens":5,"output_tokens":7}}}\n\n')
    assert reader.finish() == Usage(5, 7, None)


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_a_byte_order_mark_does_not_hide_the_first_event(cut: int) -> None:
    stream = b'\xef\xbb\xbfdata: {"usage":{"prompt_tokens":5,"completion_tokens":7}}\n\n'
    assert read(SSE, stream[:cut], stream[cut:]).finish() == Usage(5, 7, None)


@pytest.mark.parametrize("digits", [13, 300, 309, 4000])
@pytest.mark.parametrize("content_type", [JSON, SSE])
def test_a_count_that_no_server_reaches_is_none(content_type: str, digits: int) -> None:
    body = b'{"usage":{"prompt_tokens":%b,"completion_tokens":7}}' % (b"9" * digits)
    found = read(content_type, body if content_type == JSON else b"data: " + body + b"\n\n").finish()
    assert found in (Usage(0, 7, None), None)
