"""A picker that follows its EndpointPickerConfig."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from signalbox.cli import configuration
from signalbox.cli.configuration import ConfigurationFile, describe, staleness_notes, starting_rules
from signalbox.cli.main import app
from signalbox.director import Director, guide_rules
from signalbox.pool import Floats, Pool, Rows
from signalbox.scheduling import Cycle, InvalidPolicy, Parameters, ScorerPlugin, load_policy
from signalbox.scheduling.configuration import loader
from signalbox.scheduling.plugin import Plugin
from signalbox.scheduling.registry import Registry, load_registry

GOOD = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: queue-scorer}]
schedulingProfiles: [{name: default, plugins: [{pluginRef: queue-scorer, weight: 2}]}]
"""


def save(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text)
    draft.rename(path)


def test_an_unchanged_file_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)
    file = ConfigurationFile(path)
    assert file.load() is not None
    assert file.load() is None


def test_without_a_configuration_the_guides_tree_decides() -> None:
    rules = starting_rules(None, Pool("p"), {"KV_CACHE_THRESHOLD": "0.5"})
    assert rules.policy is None
    assert not rules.configured


def test_what_is_wrong_is_said_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(GOOD.replace("type: queue", "typ: x, type: queue").replace("weight: 2", "weigth: 2"))
    with pytest.raises(InvalidPolicy) as caught:
        ConfigurationFile(path).load()
    text = describe(caught.value)
    assert "plugins[0].typ:" in text
    assert "weigth" in text
    assert all(str(path) in line for line in text.splitlines())


def test_an_empty_file_is_no_configuration(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    for text in ("", "\n \n"):
        path.write_text(text)
        with pytest.raises(InvalidPolicy) as caught:
            ConfigurationFile(path).load()
        assert "is empty; write an EndpointPickerConfig" in describe(caught.value)


@pytest.mark.parametrize(
    ("make", "line", "expected"),
    [
        (lambda path: None, 0, "cannot be read: No such file or directory; put it back, or give another with --"),
        (lambda path: path.mkdir(), 0, "cannot be read: Is a directory; put it back, or give another with --"),
        (lambda path: path.write_bytes(b"a: 1\n\xff"), 2, "is not UTF-8 text: byte 0xff at offset 5; save it as UTF-8"),
    ],
    ids=["missing", "a directory", "binary"],
)
def test_a_file_that_cannot_be_read_is_named_with_a_fix(
    tmp_path: Path, make: Callable[[Path], None], line: int, expected: str
) -> None:
    path = tmp_path / "config.yaml"
    make(path)
    with pytest.raises(InvalidPolicy) as caught:
        ConfigurationFile(path).load()
    assert caught.value.problems[0].origin.line == line
    assert expected in describe(caught.value)
    assert describe(caught.value).startswith(str(path))


def test_a_picker_whose_configuration_is_missing_does_not_start_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "objects").mkdir()
    missing = tmp_path / "config.yaml"
    command = ["epp", "--source", str(tmp_path / "objects"), "--pool-name", "p", "--config-file", str(missing)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert f"signalbox epp: {missing}: cannot be read: No such file or directory" in result.output


class Unconnected(ScorerPlugin[Parameters]):
    """Another package's plugin that fails when it is asked to connect."""

    type = "unconnected"

    def connect(self, plugins: Mapping[str, Plugin[Any]]) -> None:
        """Raise."""
        raise RuntimeError("no luck")

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Never called."""
        raise NotImplementedError


def started(directory: Path) -> tuple[Path, ConfigurationFile, Director]:
    """A good configuration, what follows it, and who decides by it."""
    path = directory / "config.yaml"
    path.write_text(GOOD)
    file, pool = ConfigurationFile(path), Pool("p")
    return path, file, Director(pool, starting_rules(file.load(), pool, {}))


async def test_a_reload_survives_a_plugin_that_fails_while_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = load_registry()
    found = Registry({**registry.types, "unconnected": Unconnected}, {}, frozenset({"unconnected"}))
    monkeypatch.setattr(loader, "load_registry", lambda: found)
    path, file, director = started(tmp_path)
    first = director.rules
    following = asyncio.create_task(file.follow(director))
    async with asyncio.timeout(30):
        while not file.refused:
            save(path, GOOD.replace("{type: queue-scorer}", "{type: queue-scorer}, {type: unconnected}"))
            await asyncio.sleep(0.05)
    assert "plugins[1]: 'unconnected' failed in connect: RuntimeError: no luck" in file.refused
    assert director.rules is first
    assert not following.done()
    following.cancel()


async def test_a_check_that_fails_by_itself_is_a_refusal_that_names_the_file_and_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path, file, director = started(tmp_path)
    first = director.rules
    failed = asyncio.Event()
    times = 0

    def broken(*_: Any) -> None:
        nonlocal times
        times += 1
        if times == 2:
            failed.set()
        raise TypeError("no such luck")

    with monkeypatch.context() as patched:
        patched.setattr(configuration, "policy_rules", broken)
        following = asyncio.create_task(file.follow(director))
        async with asyncio.timeout(30):
            while not failed.is_set():
                save(path, GOOD.replace("weight: 2", f"weight: {3 + times}"))
                await asyncio.sleep(0.05)
    assert file.refused.startswith(f"{path}: could not be checked (TypeError: no such luck); ")
    assert director.rules is first
    (told,) = [record for record in caplog.records if "refused" in record.message]
    assert told.exc_info is not None
    async with asyncio.timeout(30):
        while director.rules is first:  # the very text that could not be checked is checked again
            save(path, GOOD.replace("weight: 2", "weight: 4"))
            await asyncio.sleep(0.05)
    following.cancel()
    assert file.refused == ""


def test_a_threshold_below_the_scrape_interval_is_said(caplog: pytest.LogCaptureFixture) -> None:
    policy = load_policy("", name="x")
    assert staleness_notes(policy, 0.05) == []
    (note,) = staleness_notes(policy, 1.0)
    assert note == (
        "utilization-detector: metricsStalenessThreshold 0.2 s is below the 1 s between two scrapes: metrics count as"
        " stale after 3 s"
    )
    pool = Pool("p")
    pool.scraping_every(1.0)
    with caplog.at_level(logging.WARNING):
        starting_rules(policy, pool, {})
    assert [vars(record)["note"] for record in caplog.records] == [note]


async def test_a_changed_file_takes_over_and_a_bad_one_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, file, director = started(tmp_path)
    first = director.rules
    following = asyncio.create_task(file.follow(director))
    async with asyncio.timeout(30):
        with caplog.at_level(logging.INFO):
            save(path, GOOD.replace("weight: 2", "weight: two"))
            while not any("refused" in record.message for record in caplog.records):  # noqa: ASYNC110 - a log line
                await asyncio.sleep(0.01)
            assert director.rules is first
            save(path, GOOD.replace("weight: 2", "weight: 5"))
            while director.rules is first:  # noqa: ASYNC110 - set by the task under test
                await asyncio.sleep(0.01)
    assert director.rules.policy is not None
    assert director.rules.policy.profiles["default"].scorers[0][1] == 5
    path.unlink()
    async with asyncio.timeout(30):
        with caplog.at_level(logging.INFO):
            while sum("refused" in record.message for record in caplog.records) < 2:  # noqa: ASYNC110 - a log line
                await asyncio.sleep(0.01)
    following.cancel()
    assert director.rules.policy.profiles["default"].scorers[0][1] == 5


def test_one_address_for_gateways_that_take_one() -> None:
    from tests.conftest import Objects

    from signalbox.director import Arrival, Routed

    pool = Pool("pool")
    objects = Objects()
    pool.set_pool(objects.pool())
    for number in range(4):
        pool.put(objects.pod(f"p{number}", f"10.0.0.{number}"))
    for fallbacks, named in ((0, 1), (1, 2), (None, 3), (7, 3)):
        director = Director(pool, guide_rules(), fallbacks=fallbacks)
        for body in (None, b'{"model": "m", "prompt": "x"}'):
            outcome = director.arrive(Arrival("/v1/completions", body), 0.0)
            assert isinstance(outcome, Routed)
            assert len(outcome.destination.split(",")) == named
