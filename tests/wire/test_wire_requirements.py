"""The transport page names a test for every requirement and every attack: each must exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "transport.md"


def existing_tests() -> set[str]:
    """The name of every test of this room, and ``Class::name`` of those in classes."""
    names = set()
    for path in HERE.glob("test_*.py"):
        for node in ast.parse(path.read_text()).body:
            inner = node.body if isinstance(node, ast.ClassDef) else [node]
            for test in inner:
                if isinstance(test, ast.FunctionDef | ast.AsyncFunctionDef) and test.name.startswith("test_"):
                    names.add(test.name)
                    if isinstance(node, ast.ClassDef):
                        names.add(f"{node.name}::{test.name}")
    return names


def rows() -> list[list[str]]:
    """Every table row of the page that ends with the name of a test."""
    lines = [line.strip("|").split("|") for line in PAGE.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in lines if re.search(r"`(?:\w+::)?test_\w+`", row[-1])]


def test_every_named_test_exists() -> None:
    named = {row[-1].strip("`") for row in rows()}
    assert len(named) > 100
    assert named - existing_tests() == set()


def test_the_table_covers_every_section_that_asks_something_of_a_server() -> None:
    sections = {part.strip() for row in rows() if re.match(r"\d", row[0]) for part in row[0].split(",")}
    wanted = (
        "3.4 4.1 4.2 4.3 4.3.1 5.1 5.1.1 5.1.2 5.2.1 5.2.2 5.4.1 5.4.2 5.5 6.1 6.2 6.3 6.4 6.5 6.5.2 6.5.3 6.6 6.7 6.8"
    )
    wanted += " 6.9 6.9.1 6.9.2 6.10 7 8.1 8.1.1 8.2.1 8.2.2 8.3 8.3.1 8.3.2 8.4 8.5 8.7"
    assert set(wanted.split()) - sections == set()
