"""Conversations as bytes: a turn appended leaves what came before as it was, and what differs for a model differs."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.payloads import read_request
from signalbox.payloads.tokens import read_prompt

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
ANTHROPIC = "/v1/messages"

Message = dict[str, Any]


def laid_out(path: str, **fields: Any) -> bytes:
    (sequence,) = read_prompt(read_request(path, json.dumps({"model": "m", **fields}).encode())).sequences
    return sequence


def chat(*messages: Any, **fields: Any) -> bytes:
    return laid_out(CHAT, messages=list(messages), **fields)


def user(content: Any, **fields: Any) -> Message:
    return {"role": "user", "content": content, **fields}


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}

TEXT = st.text(max_size=12)
PART = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, TEXT),
    st.builds(lambda text: {"type": "image_url", "image_url": {"url": text}}, TEXT),
    st.builds(lambda text: {"type": "tool_result", "tool_use_id": "t", "content": text}, TEXT),
    st.builds(lambda text: {"type": "tool_result", "content": [{"type": "text", "text": text}]}, TEXT),
)
MESSAGE = st.one_of(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant", "tool"])},
        optional={
            "content": st.one_of(st.none(), TEXT, st.lists(PART, max_size=3)),
            "tool_calls": st.lists(st.just(CALL), max_size=2),
            "tool_call_id": TEXT,
            "reasoning_content": TEXT,
        },
    ),
    st.builds(lambda text: {"type": "function_call", "name": "f", "arguments": text, "call_id": "c"}, TEXT),
    st.builds(lambda text: {"type": "function_call_output", "output": text, "call_id": "c"}, TEXT),
)


@pytest.mark.parametrize(("path", "field"), [(CHAT, "messages"), (ANTHROPIC, "messages"), (RESPONSES, "input")])
@given(messages=st.lists(MESSAGE, min_size=1, max_size=5), more=st.lists(MESSAGE, max_size=3), tools=st.booleans())
def test_a_conversation_that_goes_on_keeps_its_beginning(
    path: str, field: str, messages: list[Message], more: list[Message], tools: bool
) -> None:
    fields: dict[str, Any] = {"tools": [{"name": "f"}]} if tools else {}
    before = laid_out(path, **fields, **{field: messages})
    after = laid_out(path, **fields, **{field: messages + more})
    assert after.startswith(before)
    assert bool(more) == (len(after) > len(before))


@pytest.mark.parametrize(("path", "field"), [(CHAT, "messages"), (RESPONSES, "input")])
def test_a_conversation_that_cannot_be_read_keeps_its_beginning_too(path: str, field: str) -> None:
    before = laid_out(path, **{field: ["not", "objects"]})
    assert laid_out(path, **{field: ["not", "objects", 1]}).startswith(before)


def test_a_cache_marker_that_moves_along_changes_nothing() -> None:
    marked = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    plain = {"type": "text", "text": "a"}
    assert laid_out(ANTHROPIC, messages=[user([marked])]) == laid_out(ANTHROPIC, messages=[user([plain])])
    assert laid_out(ANTHROPIC, system=[marked], messages=[user("b")]) == laid_out(
        ANTHROPIC, system="a", messages=[user("b")]
    )


def test_text_and_a_list_with_one_text_part_are_the_same() -> None:
    assert chat(user("hi")) == chat(user([{"type": "text", "text": "hi"}]))
    assert chat(user("hi", name="n")) == chat(user([{"type": "text", "text": "hi"}], name="n"))


def test_a_system_prompt_is_the_same_wherever_the_api_puts_it() -> None:
    expected = chat({"role": "system", "content": "be brief"}, user("hi"))
    assert laid_out(ANTHROPIC, system="be brief", messages=[user("hi")]) == expected
    assert laid_out(RESPONSES, instructions="be brief", input=[user("hi")]) == expected
    assert laid_out(RESPONSES, instructions="be brief", input="hi") == expected


@given(st.fixed_dictionaries({"role": TEXT, "content": TEXT}, optional={"name": TEXT, "tool_call_id": TEXT}), st.data())
def test_the_order_of_fields_and_fields_that_say_nothing_do_not_matter(message: Message, data: st.DataObject) -> None:
    names = data.draw(st.permutations([*message, "refusal", "tool_calls", "annotations", "id"]))
    nothing: dict[str, Any] = {"refusal": None, "tool_calls": [], "annotations": [{"x": 1}], "id": "msg_1"}
    assert chat({name: {**nothing, **message}[name] for name in names}) == chat(message)


BASE: list[Message] = [
    {"role": "user", "content": [{"type": "text", "text": "a"}, IMAGE]},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "42"},
]


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([{**BASE[0], "role": "system"}, *BASE[1:]], id="role"),
        pytest.param([{**BASE[0], "name": "n"}, *BASE[1:]], id="name"),
        pytest.param([{**BASE[0], "content": [{"type": "text", "text": "b"}, IMAGE]}, *BASE[1:]], id="text"),
        pytest.param([{**BASE[0], "content": [IMAGE, {"type": "text", "text": "a"}]}, *BASE[1:]], id="order of parts"),
        pytest.param([{**BASE[0], "content": "a"}, *BASE[1:]], id="no image"),
        pytest.param(
            [
                {**BASE[0], "content": [{"type": "text", "text": "a"}, {**IMAGE, "image_url": {"url": "dog"}}]},
                *BASE[1:],
            ],
            id="image",
        ),
        pytest.param([BASE[0], {**BASE[1], "tool_calls": [{**CALL, "id": "c2"}]}, BASE[2]], id="call id"),
        pytest.param([BASE[0], {**BASE[1], "tool_calls": [CALL, CALL]}, BASE[2]], id="tool calls"),
        pytest.param([BASE[0], {**BASE[1], "reasoning_content": "hm"}, BASE[2]], id="reasoning"),
        pytest.param([BASE[0], BASE[1], {**BASE[2], "tool_call_id": "c2"}], id="answered call"),
        pytest.param([BASE[0], BASE[1], {**BASE[2], "content": "43"}], id="tool result"),
        pytest.param([BASE[0], BASE[2], BASE[1]], id="order of messages"),
        pytest.param([{"role": "user", "content": "a"}, *BASE], id="one message more in front"),
    ],
)
def test_what_a_model_would_read_differently_is_different(messages: list[Message]) -> None:
    assert chat(*messages) != chat(*BASE)


@pytest.mark.parametrize(
    ("kind", "field", "one", "other"),
    [
        ("tool_use", "input", {"x": 1}, {"x": 2}),
        ("tool_result", "content", "1", [{"type": "text", "text": "2"}]),
        ("thinking", "thinking", "a", "b"),
        ("image", "source", {"type": "base64", "data": "a"}, {"type": "base64", "data": "b"}),
        ("input_audio", "input_audio", {"data": "a"}, {"data": "b"}),
        ("new_kind", "payload", "a" * 999, "b" * 999),
        ("new_kind", "payload", 1, 2),
        ("new_kind", "payload", 1, None),
    ],
)
def test_parts_of_every_kind_count(kind: str, field: str, one: Any, other: Any) -> None:
    first, second = (laid_out(ANTHROPIC, messages=[user([{"type": kind, field: value}])]) for value in (one, other))
    assert first != second


def test_tools_come_first_and_count() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    with_tools = chat(user("hi"), tools=tools)
    assert with_tools.endswith(chat(user("hi")))
    assert with_tools.index(b'"function"') < with_tools.index(b"hi")
    assert chat(user("hi"), tools=[*tools, *tools]) != with_tools
    assert chat(user("hi"), tools=None) == chat(user("hi"))


def test_media_weighs_the_same_whatever_its_size() -> None:
    def tokens(url: str) -> int:
        body = {"model": "m", "messages": [user([{"type": "image_url", "image_url": {"url": url}}])]}
        return read_prompt(read_request(CHAT, json.dumps(body).encode())).tokens

    pixels = random.Random(1).randbytes(100_000).hex()
    assert tokens(f"data:image/png;base64,{pixels}") == tokens("https://example.com/cat.png")
    assert tokens("x") == pytest.approx(225, abs=10)


def test_half_of_a_surrogate_pair_does_not_hide_the_text_around_it() -> None:
    body = b'{"model": "m", "messages": [{"role": "user", "content": "half a pair: \\ud83d."}]}'
    (sequence,) = read_prompt(read_request(CHAT, body)).sequences
    assert sequence.startswith(b"\x01user\x02half a pair: ")
    assert sequence.endswith(b".")
