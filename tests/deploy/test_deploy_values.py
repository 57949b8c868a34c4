"""The chart's values, schema, templates and page name the same things; no helm needed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml
from tests.deploy.rendered import CHART, ROOT
from tests.deploy.values_table import leaves, remarks, table, values

from signalbox import __version__
from signalbox.scheduling import load_policy

TEMPLATES = "\n".join(path.read_text() for path in sorted((CHART / "templates").iterdir()))
USED = set(re.findall(r"\.Values\.([A-Za-z.]+)", TEMPLATES))


def schema_leaves(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, inside in schema["properties"].items():
        here = f"{path}.{name}".lstrip(".")
        if "properties" in inside:
            assert inside["additionalProperties"] is False, here
            yield from schema_leaves(inside, here)
        else:
            yield here


def test_the_schema_has_every_value_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(schema_leaves(schema)) - {"global"} == {path for path, _ in leaves(values())}


def test_every_value_is_used_and_every_value_that_is_used_exists() -> None:
    known = {path for path, _ in leaves(values())}
    assert known - USED == set()
    assert {path for path in USED if path not in known} == set()


def test_every_switch_and_every_remark_is_of_a_value() -> None:
    known = {path for path, _ in leaves(values())}
    for path in remarks():
        assert path in known, path
    assert all(path in remarks() for path in known if path.endswith((".enabled", ".create", ".auth")))


def test_the_page_shows_the_table_as_it_is() -> None:
    assert table() in (ROOT / "docs" / "deploy.md").read_text()


def test_the_charts_version_is_the_packages() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__


def test_the_default_configuration_is_good() -> None:
    assert load_policy(values()["picker"]["configuration"], name="values.yaml").notes == ()
