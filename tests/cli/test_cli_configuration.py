"""A picker that follows its EndpointPickerConfig."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from signalbox.cli.configuration import ConfigurationFile, describe, starting_rules
from signalbox.director import Director, guide_rules
from signalbox.pool import Pool
from signalbox.scheduling import InvalidPolicy

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


async def test_a_changed_file_takes_over_and_a_bad_one_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)
    file = ConfigurationFile(path)
    pool = Pool("p")
    director = Director(pool, starting_rules(file.load(), pool, {}))
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
