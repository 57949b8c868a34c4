"""Each filter that a configuration can name, by table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from signalbox.scheduling import FilterPlugin
from signalbox.scheduling.registry import BUILTIN


def make(type: str, **parameters: Any) -> FilterPlugin[Any]:
    plugin_type = BUILTIN[type]
    plugin = plugin_type(plugin_type.parameter_model.model_validate(parameters, by_alias=True, by_name=False))
    assert isinstance(plugin, FilterPlugin)
    return plugin


ROLES = [None, "encode", "prefill", "decode", "encode-prefill", "prefill-decode", "both", "encode-prefill-decode", "x"]


@pytest.mark.parametrize(
    ("type", "expected"),
    [
        ("decode-filter", [None, "decode", "prefill-decode", "both", "encode-prefill-decode"]),
        ("prefill-filter", ["prefill", "encode-prefill", "prefill-decode", "both", "encode-prefill-decode"]),
        ("encode-filter", ["encode", "encode-prefill", "encode-prefill-decode"]),
    ],
)
def test_roles(world: Any, type: str, expected: list[str | None]) -> None:
    state = world(len(ROLES), labels=[{} if role is None else {"llm-d.ai/role": role} for role in ROLES])
    kept = make(type).keep(state.cycle(), state.rows)
    assert [ROLES[row] for row in kept] == expected


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, [0, 1, 2]),
        ({"matchLabels": {"gpu": "h100"}}, [0]),
        ({"matchLabels": {"gpu": "h100", "zone": "b"}}, []),
        ({"matchExpressions": [{"key": "gpu", "operator": "In", "values": ["h100", "l4"]}]}, [0, 1]),
        ({"matchExpressions": [{"key": "gpu", "operator": "NotIn", "values": ["h100"]}]}, [1, 2]),
        ({"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}, [0, 1]),
        ({"matchExpressions": [{"key": "gpu", "operator": "DoesNotExist"}]}, [2]),
        ({"matchLabels": {"zone": "a"}, "matchExpressions": [{"key": "gpu", "operator": "Exists"}]}, [0]),
    ],
)
def test_label_selector(world: Any, selector: dict[str, Any], expected: list[int]) -> None:
    state = world(3, labels=[{"gpu": "h100", "zone": "a"}, {"gpu": "l4"}, {"zone": "a"}])
    assert make("label-selector-filter", **selector).keep(state.cycle(), state.rows).tolist() == expected


@pytest.mark.parametrize(
    ("parameters", "blocks", "tokens", "expected"),
    [
        pytest.param({}, [10, 8, 7], [0, 0, 0], [0, 1], id="at or above the threshold"),
        pytest.param({}, [7, 0, 0], [0, 0, 0], [0, 1, 2], id="nobody holds enough"),
        pytest.param({"affinityThreshold": 0}, [10, 0, 0], [0, 0, 0], [0, 1, 2], id="switched off"),
        pytest.param({"explorationProbability": 1}, [10, 0, 0], [0, 0, 0], [0, 1, 2], id="exploring"),
        pytest.param(
            {"maxTTFTPenaltyMs": 100, "peakPrefillThroughput": 1000}, [10, 0, 0], [100, 0, 50], [0], id="worth it"
        ),
        pytest.param(
            {"maxTTFTPenaltyMs": 100, "peakPrefillThroughput": 1000}, [10, 0, 0], [101, 0, 9], [0, 1, 2], id="too long"
        ),
        pytest.param({"maxTTFTPenaltyMs": 0}, [10, 0, 0], [1e9, 0, 0], [0], id="always worth it"),
    ],
)
def test_prefix_cache_affinity(
    world: Any, parameters: dict[str, float], blocks: list[int], tokens: list[float], expected: list[int]
) -> None:
    state = world(3, inflight_tokens=tokens)
    plugin = make("prefix-cache-affinity-filter", **parameters)
    assert plugin.keep(state.cycle(prefix=state.prefix(blocks, total=10)), state.rows).tolist() == expected
    assert plugin.keep(state.cycle(), state.rows).tolist() == [0, 1, 2], "no lookup, no preference"


@pytest.mark.parametrize(
    ("conditions", "fallback", "expected"),
    [
        ([("waiting-queue", 2)], False, [0, 1]),
        ([("waiting-queue", 2), ("kv-cache-utilization", 0.5)], False, [0]),
        ([("running-requests", 0)], False, []),
        ([("running-requests", 0)], True, [0, 1, 2]),
        ([("active-requests", 4)], False, [2]),
    ],
)
def test_utilization(world: Any, conditions: list[tuple[str, float]], fallback: bool, expected: list[int]) -> None:
    state = world(3, waiting=[0, 2, 3], kv_usage=[0.5, 0.6, 0.1], running=[1, 1, 1], inflight=[9, 5, 4])
    written = [{"metric": metric, "maxValue": value} for metric, value in conditions]
    plugin = make("utilization-filter", conditions=written, fallbackOnEmpty=fallback)
    assert plugin.keep(state.cycle(), state.rows).tolist() == expected


def test_utilization_does_not_count_requests_that_servers_have_not_shown_for_a_while(world: Any) -> None:
    state = world(2, inflight=[5, 5])
    state.columns.set_unseen(0, 5.0)
    plugin = make("utilization-filter", conditions=[{"metric": "active-requests", "maxValue": 0}])
    assert plugin.keep(state.cycle(), state.rows).tolist() == [0]


@pytest.mark.parametrize(
    ("operator", "value", "options", "expected"),
    [
        ("LessThan", 5, {}, [0]),
        ("LessThanOrEqual", 5, {}, [0, 1]),
        ("GreaterThan", 5, {}, [2]),
        ("GreaterThanOrEqual", 5, {}, [1, 2]),
        ("Equal", 5, {}, [1]),
        ("NotEqual", 5, {}, [0, 2]),
        ("LessThan", 5, {"onMissing": "Pass"}, [0, 3]),
        ("GreaterThan", 99, {}, []),
        ("GreaterThan", 99, {"fallbackOnEmpty": True}, [0, 1, 2, 3]),
    ],
)
def test_endpoint_attribute(
    world: Any, operator: str, value: float, options: dict[str, Any], expected: list[int]
) -> None:
    state = world(4, waiting=[0, 5, 9, 0], scraped_at=[0, 0, 0, -np.inf])
    algorithm = {"type": "threshold", "threshold": {"operator": operator, "value": value}}
    plugin = make("endpoint-attribute-filter", attribute="waiting", algorithm=algorithm, **options)
    assert plugin.keep(state.cycle(), state.rows).tolist() == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, []),
        ("10.9.9.9", []),
        ("10.0.0.2", [1]),
        ("10.0.0.2:8000", [1]),
        ("10.0.0.2:9999", []),
        ("10.0.0.3:3004, 10.0.0.2, 10.0.0.3,10.0.0.2", [1, 2]),
        (" 10.0.0.3 ,, 10.0.0.1:8000", [2, 0]),
    ],
)
def test_header_based_testing_keeps_the_headers_order(world: Any, header: str | None, expected: list[int]) -> None:
    state = world(3)
    headers = {} if header is None else {"test-epp-endpoint-selection": header}
    plugin = make("header-based-testing-filter")
    assert plugin.keep(state.cycle(headers=headers), state.rows).tolist() == expected
    assert plugin.keep(state.cycle(headers=headers), state.rows[:0]).tolist() == []


def test_reachable_takes_its_limit_from_the_file(world: Any) -> None:
    state = world(2, failed_scrapes=[1, 0])
    assert make("reachable", failures=1).keep(state.cycle(), state.rows).tolist() == [1]
    assert make("reachable").keep(state.cycle(), state.rows).tolist() == [0, 1]


def test_the_guides_tree_takes_its_thresholds_from_the_file(world: Any) -> None:
    state = world(2, waiting=[6, 0], kv_usage=[0.2, 0.95])
    assert make("decision-tree").keep(state.cycle(), state.rows).tolist() == [1]
    loose = make("decision-tree", queueThresholdCritical=10)
    assert loose.keep(state.cycle(), state.rows).tolist() == [0]
