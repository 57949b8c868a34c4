"""YAML and JSON as Kubernetes reads them, and what is said about text that cannot be read."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.resources.yamltree import MAX_DEPTH, YAMLFault, read_json, read_yaml


def content(text: str) -> Any:
    (document,) = read_yaml(text)
    return document.content


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 2025-03-13", {"a": "2025-03-13"}),
        ("a: 2025-03-13T09:30:00Z", {"a": "2025-03-13T09:30:00Z"}),
        ("a: 12:30:45", {"a": "12:30:45"}),
        ("a: 1e3", {"a": 1000.0}),
        ("a: 0644", {"a": 0o644}),
        ("a: 0x1F", {"a": 31}),
        ("a: -1.5", {"a": -1.5}),
        ("a: on", {"a": True}),
        ("a: 'on'", {"a": "on"}),
        ("a: ~\nb:", {"a": None, "b": None}),
        ("a: =", {"a": "="}),
        ("8080: a\ntrue: b", {"8080": "a", "true": "b"}),
        ("a: 300s", {"a": "300s"}),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("a: &x {c: 1, d: 2}\nb: {<<: *x, d: 3}", {"a": {"c": 1, "d": 2}, "b": {"c": 1, "d": 3}}),
        ("a: &x {c: 1}\nb: &y {c: 2, d: 2}\ne: {<<: [*x, *y]}", None),
    ],
)
def test_values_are_read_as_kubernetes_reads_them(text: str, value: Any) -> None:
    read = content(text)
    if value is None:
        value = {"a": {"c": 1}, "b": {"c": 2, "d": 2}, "e": {"c": 1, "d": 2}}
    assert read == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "a: b: c",
            "line 1: is not valid YAML: mapping values are not allowed in this context; "
            "check the indentation, and quote values that contain ': '",
        ),
        (
            "a:\n\tb: 1",
            "line 2: is not valid YAML: found character that cannot start any token; "
            "indent with spaces, not tabs, and quote values that start with '@', '`' or '%'",
        ),
        (
            "a: 1\nb: 'x\nc: 1",
            "line 2: is not valid YAML: found unexpected end of stream; close the quote or bracket opened there",
        ),
        ("a: *x", "line 1: is not valid YAML: found undefined alias; define the anchor before using it"),
        (
            "- a\nb: 1",
            "line 2: is not valid YAML: did not find expected '-' indicator; "
            "check the indentation and the punctuation there and on the line before",
        ),
        ("a: 1\nb: \x01", "line 2: holds the control character 0x01; remove it, or escape it in quotes"),
        ("a: 1\nb: {a: 2,\n  a: 3}", "line 3: the key 'a' is given twice, first in line 2; remove one of the two"),
        ("[a]: 1", "line 1: a key must be a text; write 'name: value'"),
        ("~: 1", "line 1: a key must be a text; write 'name: value'"),
        ("a: &x [*x]", "line 1: an anchor's value contains the anchor itself; write the value out"),
        ("a: {<<: 1}", "line 1: '<<' merges mappings only; give it an alias of a mapping"),
        ("a: !!set {b}", "line 1: the tag 'tag:yaml.org,2002:set' is not supported; remove the tag"),
        (
            "a: !secret b",
            "line 1: is not valid YAML: could not determine a constructor for the tag '!secret'; remove the tag",
        ),
        ("a: 0b_", "line 1: '0b_' cannot be read; write it in quotes"),
        ("a: 1\nb: 0x" + "f" * 300, f"line 2: '0x{'f' * 55}...' cannot be read; write it in quotes"),
        ("a: 1\nb: " + "9" * 5000, f"line 2: '{'9' * 57}...' cannot be read; write it in quotes"),
        ("a: " + "[" * 100_000, f"line 1: values nest more than {MAX_DEPTH} deep; flatten them"),
    ],
)
def test_text_that_cannot_be_read_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(YAMLFault) as raised:
        list(read_yaml(text))
    assert str(raised.value) == said


def test_a_fault_knows_its_document() -> None:
    with pytest.raises(YAMLFault) as raised:
        list(read_yaml("a: 1\n---\nb: 1\n---\nc: [\n"))
    assert raised.value.document == 3


def test_aliases_cannot_expand_without_bound() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(YAMLFault, match="line 6: aliases expand to more than 1000000 values; use fewer aliases"):
        list(read_yaml("\n".join(rows)))


def test_lines_lead_to_the_deepest_part_that_exists() -> None:
    (document,) = read_yaml("# first\na:\n  b:\n  - c: 1\n  - c: 2\n    d:\n      e: 3\n")
    assert document.line() == 2
    assert document.line(("a", "b", 1)) == 5
    assert document.line(("a", "b", 1, "d", "e")) == 7
    assert document.line(("a", "b", 1, "x", "e")) == 5
    assert document.line(("a", "b", 7)) == 3
    assert document.line(("x",)) == 2


def test_documents_are_numbered_from_1_and_empty_ones_count() -> None:
    documents = list(read_yaml("---\n---\na: 1\n--- \nb: 2"))
    assert [(document.number, document.content) for document in documents] == [(1, None), (2, {"a": 1}), (3, {"b": 2})]


def test_json_may_be_indented_with_tabs_and_knows_its_lines() -> None:
    document = read_json('{\n\t"a": [1,\n\t\t{"b": "\\ud83d\\ude00\\/"}]}'.replace("\\ud83d\\ude00", "x"))
    assert document.content == {"a": [1, {"b": "x/"}]}
    assert document.line(("a", 1, "b")) == 3


@pytest.mark.parametrize("digits", [400, 5000])
def test_an_integer_in_json_that_no_float_holds_is_refused_with_its_line(digits: int) -> None:
    with pytest.raises(YAMLFault) as raised:
        read_json('{"a": 1,\n"b": [' + "9" * digits + "]}")
    assert str(raised.value) == f"line 2: '{'9' * 57}...' cannot be read; write it in quotes"


def test_json_that_yaml_reads_otherwise_keeps_its_meaning() -> None:
    document = read_json('{"a": "\\ud83d\\ude00", "b": 1e3, "c": "2025-03-13"}')
    assert document.content == {"a": "\U0001f600", "b": 1000.0, "c": "2025-03-13"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n"a": 1,\n}', "line 3: is not valid JSON: Expecting property name enclosed in double quotes"),
        ('{"a": 1}\n{"b": 2}', "line 2: is not valid JSON: Extra data; correct the JSON there"),
        ('{\n"a": 1, "a": 2}', "line 2: the key 'a' is given twice; remove one of the two"),
        ('{"a": ' + "[" * 200 + "]" * 200 + "}", f"line 1: values nest more than {MAX_DEPTH} deep; flatten them"),
        ("[" * 100_000, f"line 1: values nest more than {MAX_DEPTH} deep; flatten them"),
    ],
)
def test_json_that_cannot_be_read_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(YAMLFault) as raised:
        read_json(text)
    assert str(raised.value).startswith(said)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(values)
def test_what_pyyaml_writes_is_read_back(value: Any) -> None:
    assert content(yaml.safe_dump(value, sort_keys=False)) == value


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=6), values, max_size=4))
def test_json_is_read_as_json_reads_it(value: dict[str, Any]) -> None:
    assert read_json(json.dumps(value)).content == value


@settings(deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!|>'\"%@#,?~<=\n\t 01", max_size=60))
def test_any_text_is_read_or_refused_with_a_line_inside_it(text: str) -> None:
    numbers: list[int] = []
    faults: list[YAMLFault] = []
    try:
        numbers = [document.number for document in read_yaml(text)]
    except YAMLFault as fault:
        faults.append(fault)
    assert numbers == list(range(1, len(numbers) + 1))
    assert all(1 <= fault.line <= text.count("\n") + 2 and fault.document >= 1 and fault.fix for fault in faults)
