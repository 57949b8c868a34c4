"""YAML that is written reads the same again, by our reader and by others'."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from signalbox.resources.yamltext import write_yaml
from signalbox.resources.yamltree import read_yaml

texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12) | st.sampled_from(
    ["1e3", "on", "0x1f", "0777", "12:30:00", "2025-03-13", "~", "null", "<<", "=", "- a", "a: b", "a\nb\n", "\n a\n\n"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(texts, values, max_size=3), max_size=3))
def test_documents_survive_the_way_through_text(documents: list[dict[str, Any]]) -> None:
    assert [document.content for document in read_yaml(write_yaml(documents))] == documents


@pytest.mark.parametrize("text", ["1e3", "on", "y", "0777", "12:30:00", "2025-03-13", "1_000", ".5", "null", ""])
def test_a_text_that_looks_like_something_else_is_quoted_for_every_reader(text: str) -> None:
    written = write_yaml([{"value": text}])
    assert yaml.safe_load(written) == {"value": text}
    assert next(read_yaml(written)).content == {"value": text}


def test_keys_keep_their_order_and_long_texts_their_lines() -> None:
    written = write_yaml([{"kind": "ConfigMap", "data": {"z.yaml": "a: 1\nb: 2\n", "a": "é"}}])
    assert written == "kind: ConfigMap\ndata:\n  z.yaml: |\n    a: 1\n    b: 2\n  a: é\n"


def test_a_value_used_twice_is_written_twice() -> None:
    shared = {"app": "llama"}
    assert write_yaml([{"a": shared, "b": shared}]) == "a:\n  app: llama\nb:\n  app: llama\n"
