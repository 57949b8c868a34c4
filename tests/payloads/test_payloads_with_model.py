"""Splicing a model name into a body: only the value changes, whatever the body looks like."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.payloads import PayloadError, read_request


def spliced(raw: bytes, name: str = "new") -> bytes:
    return read_request("/x", raw).with_model(name)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"model":"m"}', b'{"model":"new"}'),
        (b' {\n\t"model" :\r\n "m" , "a": 1 } \n', b' {\n\t"model" :\r\n "new" , "a": 1 } \n'),
        (b'{"a":{"model":"x"},"model":"m"}', b'{"a":{"model":"x"},"model":"new"}'),
        (b'{"model":"m","a":[{"model":"x"}]}', b'{"model":"new","a":[{"model":"x"}]}'),
        (b'{"a":"\\"model\\":\\"x\\"","model":"m"}', b'{"a":"\\"model\\":\\"x\\"","model":"new"}'),
        (b'{"role":"model","model":"model"}', b'{"role":"model","model":"new"}'),
        (b'{"a":"say \\"model","model":"m"}', b'{"a":"say \\"model","model":"new"}'),
        (b'{"a":"say \\"model","mod\\u0065l":"m"}', b'{"a":"say \\"model","mod\\u0065l":"new"}'),
        (b'{"a":["model"],"mod\\u0065l":"m"}', b'{"a":["model"],"mod\\u0065l":"new"}'),
        (b'{"a":"line\\n","model" \n:\t"m"}', b'{"a":"line\\n","model" \n:\t"new"}'),
        (b'{"mod\\u0065l":"m"}', b'{"mod\\u0065l":"new"}'),
        (b'{"\\u006D\\u006f\\u0064\\u0065\\u006c":"m"}', b'{"\\u006D\\u006f\\u0064\\u0065\\u006c":"new"}'),
        (b'{"Model":"x","model":"m"}', b'{"Model":"x","model":"new"}'),
        (b'{"model":1,"x":2.50,"model":"m"}', b'{"model":"new","x":2.50,"model":"new"}'),
        (b'{"model":{"a":[1,{}]} ,"model":"m"}', b'{"model":"new" ,"model":"new"}'),
        (b'{"model":"m","mod\\u0065l":"k"}', b'{"model":"new","mod\\u0065l":"new"}'),
        (b'{"n":12345678901234567890123.450e-7,"model":"m"}', b'{"n":12345678901234567890123.450e-7,"model":"new"}'),
        (b'{"a":"\\ud800 \\\\","model":"m"}', b'{"a":"\\ud800 \\\\","model":"new"}'),
        (b'{"\\udc00":1,"model":"m"}', b'{"\\udc00":1,"model":"new"}'),
        (b'{"\\\\ud800":1,"\\ud800":1,"model":"m"}', b'{"\\\\ud800":1,"\\ud800":1,"model":"new"}'),
        (b'{"\\"":"}","\\\\":"{","model":"m"}', b'{"\\"":"}","\\\\":"{","model":"new"}'),
        ('{"ключ":"値","model":"模型"}'.encode(), '{"ключ":"値","model":"new"}'.encode()),
    ],
)
def test_only_the_value_of_every_top_level_model_changes(before: bytes, after: bytes) -> None:
    assert spliced(before) == after


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "模型", "tab\tline\n", "a/b:c@d", "😀"])
def test_the_new_name_is_escaped(name: str) -> None:
    assert json.loads(spliced(b'{"model":"m","a":1}', name)) == {"model": name, "a": 1}


def test_a_long_body_is_spliced_like_a_short_one() -> None:
    before, after = b'{"a":{"model":"x"},"model":"m","b":"', b'","model":"k"}'
    text = b"t" * 50_000
    assert spliced(before + text + after) == b'{"a":{"model":"x"},"model":"new","b":"' + text + b'","model":"new"}'


def test_of_repeated_models_the_last_one_counts() -> None:
    assert read_request("/x", b'{"model":"a","model":"b"}').model == "b"


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b'{"model":"\\ud83d\\ude00"}', "😀"),
        (b'{"\\ud800":1,"model":"\\ud83d\\ude00"}', "😀"),
        (b'{"model":"a\\/b\\u0041"}', "a/bA"),
    ],
)
def test_the_name_is_read_through_its_escapes(raw: bytes, name: str) -> None:
    assert read_request("/x", raw).model == name


LETTERS = 'abmodel/:é模😀"\\ {}[],:\n'
NAMES = st.text(LETTERS, min_size=1, max_size=8)
KEYS = st.sampled_from(["model", "mode", "models", "Model", "", "\\", '"', "\ud800", "é"]) | NAMES
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(LETTERS + "\ud800", max_size=6)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
SPACE = st.sampled_from(["", " ", "\n", "\t \r\n"])


@st.composite
def quoted(draw: st.DrawFn, text: str) -> str:
    """A JSON string with some characters escaped that need not be."""
    pieces = []
    for character in text:
        if ord(character) < 128 and draw(st.booleans()):
            pieces.append(f"\\u{ord(character):04x}")
        else:
            pieces.append(json.dumps(character, ensure_ascii="\ud800" <= character <= "\udfff")[1:-1])
    return '"' + "".join(pieces) + '"'


@st.composite
def bodies(draw: st.DrawFn) -> tuple[list[bytes], bytes]:
    """A JSON object, in pieces (those at odd places are the values of its top-level models) and whole."""
    members: list[tuple[str, Any]] = draw(st.lists(st.tuples(KEYS, VALUES), max_size=6))
    members.insert(draw(st.integers(0, len(members))), ("model", draw(NAMES)))
    pieces, piece = [], draw(SPACE) + "{"
    for index, (key, value) in enumerate(members):
        piece += ("," if index else "") + draw(SPACE) + draw(quoted(key)) + draw(SPACE) + ":" + draw(SPACE)
        text = json.dumps(value, allow_nan=False, ensure_ascii=draw(st.booleans()) or "\\ud" in json.dumps(value))
        if key == "model":
            pieces.append(piece)
            pieces.append(text)
            piece = draw(SPACE)
        else:
            piece += text + draw(SPACE)
    pieces.append(piece + "}" + draw(SPACE))
    return [part.encode() for part in pieces], "".join(pieces).encode()


@given(bodies(), NAMES)
def test_the_bytes_outside_the_values_stay(made: tuple[list[bytes], bytes], name: str) -> None:
    pieces, raw = made
    original = json.loads(raw)
    if not _is_name(original["model"]):
        with pytest.raises(PayloadError, match="model"):
            read_request("/x", raw)
        return
    request = read_request("/x", raw)
    assert request.model == original["model"]
    new = request.with_model(name)
    pieces[1::2] = [msgspec.json.encode(name)] * len(pieces[1::2])
    assert new == b"".join(pieces)
    assert json.loads(new) == original | {"model": name}


def _is_name(model: object) -> bool:
    return isinstance(model, str) and model != "" and "\ud800" not in model
