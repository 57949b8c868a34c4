"""Reading /v1/models."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.pool import ModelList
from signalbox.signals import parse_models


def answer(*cards: dict[str, Any]) -> bytes:
    return json.dumps({"object": "list", "data": cards}).encode()


def read(*cards: dict[str, Any]) -> tuple[set[str], set[str]]:
    models = parse_models(answer(*cards))
    assert models is not None
    return set(models.names), set(models.adapters)


BASE = {"id": "llama", "root": "meta/llama", "parent": None, "max_model_len": 4096}


def test_a_card_with_a_parent_is_an_adapter() -> None:
    alias = {**BASE, "id": "alias"}
    adapter = {"id": "sql", "root": "/adapters/sql", "parent": "llama", "max_model_len": None}
    assert read(BASE, alias, adapter) == ({"llama", "alias", "sql"}, {"sql"})


def test_old_servers_leave_the_parent_out() -> None:
    adapter = {"id": "sql", "root": "/adapters/sql", "parent": None}
    assert read(BASE, adapter) == ({"llama", "sql"}, {"sql"})
    assert read({"id": "llama", "root": "llama", "parent": None}, adapter) == ({"llama", "sql"}, {"sql"})


@pytest.mark.parametrize(
    "card", [{"id": "m"}, {"id": "m", "root": "m"}, {"id": "m", "root": ""}, {"id": "m", "root": 1}]
)
def test_a_card_that_says_little_is_a_base_model(card: dict[str, Any]) -> None:
    assert read(card) == ({"m"}, set())


def test_an_empty_list_is_a_list() -> None:
    assert parse_models(answer()) == ModelList(frozenset())


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"not json", b'{"data": {}}', b'{"data": [{}]}', b'{"data": [{"id": 3}]}', b"\xff"]
)
def test_what_is_no_list_of_models_is_none(body: bytes) -> None:
    assert parse_models(body) is None


@given(st.binary())
def test_nothing_makes_it_raise(body: bytes) -> None:
    parse_models(body)
    parse_models(b'{"data": [' + body + b"]}")


JSON = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers(), max_size=2)
CARDS = st.fixed_dictionaries(
    {"id": st.text()}, optional={"parent": JSON, "root": JSON, "max_model_len": JSON, "other": JSON}
)


@given(st.lists(CARDS, max_size=6))
def test_every_name_is_read_and_adapters_are_some_of_them(cards: list[dict[str, Any]]) -> None:
    names, adapters = read(*cards)
    assert names == {card["id"] for card in cards}
    assert adapters <= names
    assert adapters >= {card["id"] for card in cards if card.get("parent")}
