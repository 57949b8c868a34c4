"""The chart's values as a table, out of the comments in ``values.yaml``: ``python -m tests.deploy.values_table``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from tests.deploy.rendered import CHART

_COMMENT = re.compile(r"^( *)# -- (.*)$")
_KEY = re.compile(r"^( *)([A-Za-z]+):")


def values() -> dict[str, Any]:
    """The chart's values."""
    content: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return content


def leaves(content: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is no section, by its dotted path: objects that the chart's user fills are values."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    for name, value in content.items():
        here = f"{path}.{name}".lstrip(".")
        place = schema
        for part in here.split("."):
            place = place["properties"][part]
        if isinstance(value, dict) and "properties" in place:
            yield from leaves(value, here)
        else:
            yield here, value


def remarks() -> dict[str, str]:
    """What the file says of each value: the ``# --`` comment before it."""
    told: dict[str, str] = {}
    stack: list[tuple[int, str]] = []
    text = ""
    for line in (CHART / "values.yaml").read_text().splitlines():
        comment = _COMMENT.match(line)
        key = _KEY.match(line)
        if comment:
            text = comment[2]
        elif key:
            depth = len(key[1])
            stack = [each for each in stack if each[0] < depth] + [(depth, key[2])]
            if text:
                told[".".join(name for _, name in stack)] = text
            text = ""
    return told


def table() -> str:
    """The table, in Markdown. Long defaults are named, not shown."""
    told = remarks()
    rows = ["| value | default | |", "|---|---|---|"]
    for path, default in leaves(values()):
        shown = json.dumps(default)
        shown = f"`{shown}`" if len(shown) < 60 else "see `values.yaml`"
        section = path.rpartition(".")[0]
        remark = told.get(path) or (told.get(section, "") if path.endswith(".enabled") else "")
        rows.append(f"| `{path}` | {shown} | {remark} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
