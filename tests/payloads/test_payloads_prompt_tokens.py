"""The prompt of a request: its sequences, its length, and what keeps its cache apart from others."""

from __future__ import annotations

import json
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.payloads import PayloadError, read_request
from signalbox.payloads.tokens import Prompt, read_prompt

COMPLETIONS = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
GENERATE = "/generate"


def prompt(path: str, **fields: Any) -> Prompt:
    return read_prompt(read_request(path, json.dumps({"model": "m", **fields}).encode()))


def ids(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "little") for number in numbers)


@pytest.mark.parametrize(
    ("value", "sequences", "tokens"),
    [
        ("hello", (b"hello",), 2),
        ("", (b"",), 0),
        (["hello", "", "you"], (b"hello", b"", b"you"), 3),
        ([1, 2, 70_000], (ids(1, 2, 70_000),), 3),
        ([[1, 2], [3]], (ids(1, 2), ids(3)), 3),
        ({"what": "is this"}, (b'{"what": "is this"}',), 5),
        ([1, "mixed"], (b'[1, "mixed"',), 3),
        ([-1, 2], (b"[-1, 2",), 2),
        ([2**32], (b"[4294967296",), 3),
        ([1.5], (b"[1.5",), 1),
    ],
)
def test_the_forms_of_a_prompt(value: Any, sequences: tuple[bytes, ...], tokens: int) -> None:
    found = prompt(COMPLETIONS, prompt=value)
    assert (found.sequences, found.tokens, found.salt) == (sequences, tokens, b"")
    assert prompt(EMBEDDINGS, input=value) == found


def test_text_stays_as_the_client_wrote_it() -> None:
    body = b'{"model": "m", "prompt": "line\\nline \\u00e9 \\ud83d\\ude00"}'
    assert read_prompt(read_request(COMPLETIONS, body)).sequences == (b"line\\nline \\u00e9 \\ud83d\\ude00",)


def test_of_a_huge_list_of_token_ids_the_beginning_is_decoded_and_the_rest_counted() -> None:
    found = prompt(COMPLETIONS, prompt=[7] * 400_000)
    assert found.tokens == 400_000
    (sequence,) = found.sequences
    assert len(sequence) // 4 > 131_072
    assert sequence == array("I", [7]).tobytes() * (len(sequence) // 4)


def test_lists_too_long_to_take_apart_are_text() -> None:
    text = json.dumps(["x"] * 400_000, separators=(",", ":")).encode()
    body = b'{"model": "m", "prompt": %s}' % text
    assert read_prompt(read_request(COMPLETIONS, body)).sequences == (text[:-1],)
    many = prompt(COMPLETIONS, prompt=[[1, 2]] * 200_000)
    assert [sequence[:7] for sequence in many.sequences] == [b"[[1, 2]"]
    messages = [{"role": "user", "content": "x"}] * 110_000
    (conversation,) = prompt("/v1/chat/completions", messages=messages).sequences
    assert conversation == json.dumps(messages).encode()[:-1]


@pytest.mark.parametrize("name", ["prompt", "text", "input_ids", "token_ids", "prompt_token_ids", "input"])
def test_native_apis_have_their_own_names(name: str) -> None:
    assert prompt(GENERATE, **{name: [1, 2]}).sequences == (ids(1, 2),)


def test_embeddings_and_native_apis_take_conversations_too() -> None:
    messages = [{"role": "user", "content": "hi"}]
    expected = prompt("/v1/chat/completions", messages=messages)
    assert prompt(EMBEDDINGS, messages=messages) == expected
    assert prompt(GENERATE, messages=messages) == expected


def test_a_request_without_a_prompt_has_no_sequences() -> None:
    assert prompt(GENERATE) == Prompt((), 0, b"")


def test_prompt_embeddings_are_told_apart() -> None:
    one, other = (prompt(COMPLETIONS, prompt_embeds=data) for data in ("aaaa", "bbbb"))
    assert one.sequences != other.sequences
    assert one.tokens == other.tokens == 225


ISOLATING = ["cache_salt", "lora_path", "previous_response_id", "chat_template", "mm_processor_kwargs", "image_data"]


@pytest.mark.parametrize("name", ISOLATING)
def test_what_isolates_a_cache_is_in_the_salt_and_not_in_the_text(name: str) -> None:
    plain, one, other = (prompt(COMPLETIONS, prompt="hi", **{name: value}) for value in (None, "a", "b"))
    assert plain.salt == b""
    assert len({plain.salt, one.salt, other.salt}) == 3
    assert plain.sequences == one.sequences == other.sequences


SALTS = st.dictionaries(st.sampled_from(ISOLATING), st.text(max_size=4))


@given(SALTS, SALTS)
def test_different_salts_never_look_alike(one: dict[str, str], other: dict[str, str]) -> None:
    assert (prompt(GENERATE, **one).salt == prompt(GENERATE, **other).salt) == (one == other)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["role", "content", "type", "text", "image_url", "x"]), inner, max_size=4),
    ),
    max_leaves=15,
)


@given(
    st.sampled_from([COMPLETIONS, "/v1/chat/completions", "/v1/messages", "/v1/responses", EMBEDDINGS, GENERATE, "/x"]),
    st.dictionaries(
        st.sampled_from(["prompt", "messages", "system", "input", "instructions", "tools", "cache_salt"]), JSON
    ),
)
def test_whatever_the_body_holds_it_has_a_prompt_of_consistent_length(path: str, fields: dict[str, Any]) -> None:
    try:
        request = read_request(path, json.dumps({"model": "m", **fields}).encode())
    except PayloadError:
        return
    found = read_prompt(request)
    assert found.tokens == sum(-(-len(sequence) // 4) for sequence in found.sequences)
    assert found == read_prompt(request)
