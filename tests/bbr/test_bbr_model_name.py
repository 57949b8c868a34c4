"""The model that a body names, and what is refused."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.bbr.model_name import MAX_LENGTH, read_model
from signalbox.payloads import PayloadError


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (b'{"model": "llama"}', "llama"),
        (b'{"prompt": "model", "n": {"model": "inner"}, "model": "outer"}', "outer"),
        (b'{"model": "first", "model": "last"}', "last"),
        (b'{"model": ""}', ""),
        (b'{"model": 1}', "1"),
        (b'{"model": true}', "true"),
        (b'{"model": 1.50}', "1.50"),
        (b'{"prompt": "x"}', None),
        (b'{"model": null}', None),
        (b'{"model": {"name": "x"}}', None),
        (b'{"model": ["x"]}', None),
        (b"{}", None),
        (b'{"model": "a\\/b\\u00e9"}', "a/bé"),
        ('{"model": "模型"}'.encode(), "模型"),
        (b'{"\\ud800": 1, "model": "m\\u0041"}', "mA"),
    ],
)
def test_the_last_top_level_model_counts(body: bytes, model: str | None) -> None:
    assert read_model(body) == model


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "not JSON"),
        (b"{no json", "not JSON"),
        (b'["model"]', "must be a JSON object"),
        (b'"model"', "must be a JSON object"),
        (b'{"model": "a\\nb"}', "control characters"),
        (b'{"model": "a\\u0000"}', "control characters"),
        (b'{"model": "\\ud800"}', "not valid Unicode"),
        (b'{"model": "\xff"}', "not valid Unicode"),
        (b'{"model": "%s"}' % (b"x" * (MAX_LENGTH + 1)), f"the longest name is {MAX_LENGTH}"),
        (b"[" * 5000, ""),
    ],
)
def test_what_cannot_be_a_header_is_refused_with_the_reason(body: bytes, complaint: str) -> None:
    with pytest.raises(PayloadError) as refused:
        read_model(body)
    assert refused.value.status == 400
    assert complaint in refused.value.message


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), st.booleans())
def test_every_printable_name_survives_every_way_to_write_it(name: str, escaped: bool) -> None:
    body = json.dumps({"stream": True, "model": name, "z": [1]}, ensure_ascii=escaped).encode()
    assert read_model(body) == name


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(PayloadError):
        assert not any(ord(letter) < 32 for letter in read_model(body) or "")
