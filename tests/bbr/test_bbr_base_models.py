"""ConfigMaps say which base model is behind a name."""

import asyncio
import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.bbr import MANAGED_LABEL, BaseModels, ModelDirectory
from signalbox.bbr.base_models import read_adapters, read_base_models
from signalbox.resources import ConfigMap, Origin, parse_resource


def config_map(name: str, label: str = "true", namespace: str = "default", **data: str) -> ConfigMap:
    metadata = {"name": name, "namespace": namespace, "labels": {MANAGED_LABEL: label}}
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    parsed = parse_resource(document, Origin("test.yaml"))
    assert isinstance(parsed, ConfigMap)
    return parsed


def test_a_base_model_leads_to_itself_and_adapters_to_it() -> None:
    models, problems = read_base_models([config_map("a", baseModel="qwen", adapters="- sql-lora\n- foo\n- 1\n")])
    assert problems == ()
    assert {name: models.of(name) for name in ("qwen", "sql-lora", "foo", "1", "other")} == {
        "qwen": "qwen", "sql-lora": "qwen", "foo": "qwen", "1": "qwen", "other": None,
    }  # fmt: skip


def test_config_maps_without_the_label_are_none_of_it() -> None:
    assert read_base_models([config_map("a", "false", baseModel="qwen")]) == (BaseModels(), ())


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"adapters": "- a"}, "data.baseModel: is missing; name the base model"),
        ({"baseModel": " "}, "data.baseModel: is missing; name the base model"),
        ({"baseModel": "m", "adapters": "a: b"}, "data.adapters: is not a list of names; write a YAML list"),
        ({"baseModel": "m", "adapters": "- {a: b}"}, "data.adapters: is not a list of names; write a YAML list"),
        ({"baseModel": "m", "adapters": "- a\n- [b"}, "data.adapters: is not YAML, line 3: "),
        ({"baseModel": "m", "adapters": "[" * 9999}, "data.adapters: is not YAML, line 1: "),
        ({"baseModel": "m", "adapters": "- a\n---\n- b"}, "data.adapters: is not a list of names"),
        ({"baseModel": "m", "adapters": "\x07"}, "data.adapters: is not YAML"),
    ],
)
def test_one_with_a_mistake_adds_nothing_and_is_told(data: dict[str, str], problem: str) -> None:
    models, problems = read_base_models([config_map("bad", **data), config_map("good", baseModel="qwen")])
    assert dict(models.by_name) == {"qwen": "qwen"}
    assert str(problems[0]).startswith(f"test.yaml ConfigMap/bad {problem}")


def test_a_name_that_two_claim_belongs_to_the_first() -> None:
    models, problems = read_base_models(
        [config_map("a", baseModel="one", adapters="- x"), config_map("b", baseModel="two", adapters="- x\n- y")]
    )
    assert (models.of("x"), models.of("y")) == ("one", "two")
    assert [str(each) for each in problems] == [
        "test.yaml ConfigMap/b data: 'x' belongs to 'one' by ConfigMap a, which stays in force; "
        "name it in one of the two"
    ]


def test_no_adapters_are_no_mistake() -> None:
    assert read_adapters("") == read_adapters("# none yet\n") == read_adapters("[]") == ()


@given(st.lists(st.text("abc-/.0123456789", min_size=1), max_size=5))
def test_names_survive_being_written_as_yaml(names: list[str]) -> None:
    assert read_adapters(json.dumps(names)) == tuple(names)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_is_a_list_of_names_or_refused(text: str) -> None:
    try:
        names = read_adapters(text)
    except ValueError:
        return
    assert all(isinstance(name, str) and name for name in names)


def written(base: str) -> str:
    return (
        f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m, labels: {{{MANAGED_LABEL}: 'true'}}}}\n"
        f"data: {{baseModel: {base}}}\n"
    )


def test_a_directory_keeps_the_last_good_content_of_a_broken_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(written("one"))
    directory = ModelDirectory(tmp_path, "default")
    with caplog.at_level(logging.INFO, "signalbox.sources"):
        directory.load()
        assert directory.models.of("one") == "one"
        for _ in range(2):
            file.write_text("kind: [")
            directory.load()
            assert directory.models.of("one") == "one"
        file.write_text(written("two"))
        directory.load()
    assert dict(directory.models.by_name) == {"two": "two"}
    assert [record.message for record in caplog.records] == ["configuration problem", "configuration problem solved"]


def test_only_config_maps_of_its_namespace_count(tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_text(written("one"))
    directory = ModelDirectory(tmp_path, "elsewhere")
    directory.load()
    assert directory.models == BaseModels()


async def test_a_directory_is_followed(tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_text(written("one"))
    directory = ModelDirectory(tmp_path, "default")
    following = asyncio.create_task(directory.follow())
    async with asyncio.timeout(30):
        while directory.models.of("one") is None:  # noqa: ASYNC110 - the first reading, once the watch stands
            await asyncio.sleep(0.01)
        (tmp_path / "models.yaml").write_text(written("two"))
        while directory.models.of("two") is None:  # noqa: ASYNC110 - what is waited for happens in the kernel
            await asyncio.sleep(0.01)
    following.cancel()
    await asyncio.wait({following})
