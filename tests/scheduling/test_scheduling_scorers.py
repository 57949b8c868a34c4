"""Each scorer, by table: the reference's cases, and where ours differ on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from signalbox.scheduling import ScorerPlugin
from signalbox.scheduling.registry import BUILTIN


def make(type: str, **parameters: Any) -> ScorerPlugin[Any]:
    plugin_type = BUILTIN[type]
    plugin = plugin_type(plugin_type.parameter_model.model_validate(parameters, by_alias=True, by_name=False))
    assert isinstance(plugin, ScorerPlugin)
    return plugin


LOW, HIGH = "linear_lower_is_better", "linear_higher_is_better"
UNIT = {"fixedRange": {"min": 0.0, "max": 1.0}}


@pytest.mark.parametrize(
    ("type", "parameters", "columns", "expected"),
    [
        ("queue-scorer", {}, {"waiting": [10, 5, 0]}, [0, 0.5, 1]),
        ("queue-scorer", {}, {"waiting": [4, 4, 4]}, [1, 1, 1]),
        ("queue-scorer", {}, {"waiting": [0, 0, 0], "inflight": [4, 0, 2]}, [0, 1, 0.5]),
        ("running-requests-size-scorer", {}, {"running": [10, 5, 0]}, [0, 0.5, 1]),
        ("running-requests-size-scorer", {}, {"running": [7, 7]}, [1, 1]),
        ("running-requests-size-scorer", {}, {"running": [2, 2], "inflight": [2, 2], "inflight_mark": [2, 0]}, [1, 0]),
        ("kv-cache-utilization-scorer", {}, {"kv_usage": [0.8, 0.5, 0]}, [0.2, 0.5, 1]),
        ("kv-cache-utilization-scorer", {}, {"kv_usage": [1.2, 1.0]}, [0, 0]),
        ("load-aware-scorer", {}, {"waiting": [0, 64, 128, 500]}, [0.5, 0.25, 0, 0]),
        ("load-aware-scorer", {"threshold": 10}, {"waiting": [5, 0]}, [0.25, 0.5]),
        ("active-request-scorer", {}, {"inflight": [0, 5, 10]}, [1, 0.5, 0]),
        ("active-request-scorer", {}, {"inflight": [0, 0]}, [1, 1]),
        ("active-request-scorer", {"idleThreshold": 2, "maxBusyScore": 0.5}, {"inflight": [2, 5, 10]}, [1, 0.25, 0]),
        ("token-load-scorer", {"queueThresholdTokens": 1000}, {"inflight_tokens": [0, 500, 1000]}, [1, 0.5, 0]),
        ("token-load-scorer", {"queueThresholdTokens": 1000}, {"inflight_tokens": [3000, -1]}, [0, 1]),
        (
            "endpoint-attribute-scorer",
            {"attributeKey": "waiting", "algorithm": {"type": LOW}},
            {"waiting": [0, 5, 10]},
            [1, 0.5, 0],
        ),
        (
            "endpoint-attribute-scorer",
            {"attributeKey": "waiting", "algorithm": {"type": HIGH}},
            {"waiting": [0, 5, 10], "scraped_at": [0, 0, -np.inf]},
            [0, 1, 0],
        ),
        (
            "endpoint-attribute-scorer",
            {"attributeKey": "kv_usage", "algorithm": {"type": LOW, "normalization": UNIT}},
            {"kv_usage": [0.25, 0.5, 1.5]},
            [0.75, 0.5, 0],
        ),
        (
            "endpoint-attribute-scorer",
            {"attributeKey": "running", "algorithm": {"type": LOW, "normalization": {"adaptiveRange": {}}}},
            {"running": [3, 3]},
            [1, 1],
        ),
    ],
)
def test_scores_from_columns(
    world: Any, type: str, parameters: dict[str, Any], columns: dict[str, list[float]], expected: list[float]
) -> None:
    state = world(len(expected), **columns)
    assert make(type, **parameters).score(state.cycle(), state.rows) == pytest.approx(expected)


def test_token_load_counts_the_uncached_tokens_of_this_request(world: Any) -> None:
    state = world(2, inflight_tokens=[100, 100])
    plugin = make("token-load-scorer", queueThresholdTokens=1000)
    assert plugin.score(state.cycle(prompt_tokens=400), state.rows) == pytest.approx([0.5, 0.5])
    prefix = state.prefix([25, 0], total=25)
    assert plugin.score(state.cycle(prompt_tokens=400, prefix=prefix), state.rows) == pytest.approx([0.9, 0.5])


@pytest.mark.parametrize(
    ("active", "limit", "expected"),
    [
        pytest.param([{"m"}, {"x"}, set(), {"x", "y"}, {"m", "x"}], 2, [1.0, 0.8, 0.8, 0, 1.0], id="mixed"),
        pytest.param([{"x"}, {"y"}], 1, [0, 0], id="all full"),
        pytest.param([set(), set()], 0, [0, 0], id="servers without adapters"),
    ],
)
def test_lora_affinity(world: Any, active: list[set[str]], limit: int, expected: list[float]) -> None:
    state = world(len(active), lora_max=[limit] * len(active))
    for row, names in enumerate(active):
        state.columns.set_adapters(row, frozenset(names))
    assert make("lora-affinity-scorer").score(state.cycle(), state.rows) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, [0.5, 0.2, 0]),
        ({"matchLengthWeight": 1, "matchLengthScaleTokens": 160}, [0.25, 0.04, 0]),
        ({"matchLengthWeight": 0.5, "matchLengthScaleTokens": 16}, [0.75, 0.6, 0]),
    ],
)
def test_prefix_cache(world: Any, parameters: dict[str, float], expected: list[float]) -> None:
    state = world(3)
    cycle = state.cycle(prefix=state.prefix([5, 2, 0], total=10))
    assert make("prefix-cache-scorer", **parameters).score(cycle, state.rows) == pytest.approx(expected)


@pytest.mark.parametrize("type", ["prefix-cache-scorer", "no-hit-lru-scorer"])
def test_scorers_of_the_prefix_are_neutral_without_a_lookup(world: Any, type: str) -> None:
    state = world(3)
    assert len(set(make(type).score(state.cycle(), state.rows).tolist())) == 1
    empty = state.cycle(prefix=state.prefix([], total=0))
    assert len(make("prefix-cache-scorer").score(empty, state.rows)) == 3


@pytest.mark.parametrize(
    ("label", "tokens", "expected"),
    [
        ("0-2048", 1024, 0.3 + 0.7 * (0.7 / 1.2048 + 0.3 * 0.5)),
        ("0-2048", 0, 0.3 + 0.7 * (0.7 / 1.2048 + 0.3)),
        ("100-100", 100, 0.3 + 0.7 * 0.7),
        ("0-1000", 2000, 0.15),
        ("3000-4000", 1000, 0.1),
        ("4000-3000", 3500, 0.5),
        ("long", 10, 0.5),
        (None, 10, 0.5),
    ],
)
def test_context_length(world: Any, label: str | None, tokens: int, expected: float) -> None:
    labels: Mapping[str, str] = {} if label is None else {"llm-d.ai/context-length-range": label}
    state = world(1, labels=[labels])
    score = make("context-length-aware").score(state.cycle(prompt_tokens=tokens), state.rows)
    assert score == pytest.approx([expected])


def test_context_length_can_filter_too(world: Any) -> None:
    state = world(3, labels=[{"size": "0-10"}, {"size": "11-99"}, {}])
    plugin: Any = make("context-length-aware", label="size", enableFiltering=True)
    assert plugin.filters
    assert plugin.keep(state.cycle(prompt_tokens=50), state.rows).tolist() == [1, 2]
    assert not make("context-length-aware").filters


def test_header_label_affinity_scores_and_stamps(world: Any) -> None:
    state = world(3, labels=[{"zone": "a"}, {"zone": "b"}, {}])
    plugin = make("header-label-affinity-scorer", headerName="X-Zone", labelKey="zone")
    assert plugin.score(state.cycle(headers={"x-zone": "b"}), state.rows).tolist() == [0, 1, 0]
    assert plugin.score(state.cycle(headers={"x-zone": "c"}), state.rows).tolist() == [0, 0, 0]
    assert plugin.score(state.cycle(), state.rows).tolist() == [0, 0, 0]


def test_label_columns_follow_the_endpoints(world: Any) -> None:
    plugin = make("header-label-affinity-scorer", headerName="zone", labelKey="zone")
    for zone, expected in (("a", [1.0]), ("b", [0.0]), ("a", [1.0])):
        state = world(1, labels=[{"zone": zone}])
        assert plugin.score(state.cycle(headers={"zone": "a"}), state.rows).tolist() == expected
