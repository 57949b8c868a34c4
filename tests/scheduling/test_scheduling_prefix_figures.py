"""The tables of figures: what is measured is what the tables say."""

from __future__ import annotations

import random
from typing import Any

import pytest
from rich.table import Table

from signalbox.payloads.tokens import read_prompt
from signalbox.scheduling.prefix import figures, hash_prompt


def cells(table: Table) -> list[dict[str, Any]]:
    columns = [(str(column.header), list(column.cells)) for column in table.columns]
    return [{header: values[row] for header, values in columns} for row in range(table.row_count)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "SIZES", {"1 KB": 1_000, "3 KB": 3_000})
    monkeypatch.setattr(figures, "ROWS", (8,))


def test_a_conversation_is_as_long_as_asked() -> None:
    prompt = read_prompt(figures.chat(10_000, random.Random(1)))
    assert prompt.tokens == pytest.approx(2_500, rel=0.05)


def test_in_a_warm_index_endpoints_hold_beginnings_of_different_lengths() -> None:
    blocks = hash_prompt(read_prompt(figures.chat(10_000, random.Random(1))), "m")
    index = figures.warm_index(blocks, 8, random.Random(2))
    found = index.match(blocks, 8).blocks.tolist()
    assert found == [blocks.total * row // 8 for row in range(8)]


def test_each_prompt_and_each_number_of_endpoints_has_its_figures() -> None:
    rng = random.Random(1)
    for table in (figures.prompt_table(rng), figures.index_table(rng), figures.endpoint_table(rng)):
        for row in cells(table):
            assert all(float(value) > 0 for header, value in row.items() if header != "prompt"), row
    assert [row["prompt"] for row in cells(figures.prompt_table(rng))] == ["1 KB", "3 KB"]


def test_the_memory_of_what_is_remembered_grows_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(figures.SIZES, "100 KB", 100_000)
    small, large = (float(cells(figures.remembered_table(count))[0]["MB"]) for count in (64, 256))
    assert 0 < 2 * small < large


def test_memory_is_measured_and_close_to_what_the_index_reports() -> None:
    first, second = cells(figures.memory_table(count=5_000))
    assert float(first["reported by the index"]) == pytest.approx(float(first["measured"]), rel=0.35)
    assert float(second["measured"]) < float(first["measured"])
