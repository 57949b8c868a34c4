"""How fast each endpoint would answer: learned from answers, held against what clients ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signalbox.pool import Endpoint
from signalbox.scheduling import Decision, load_policy
from signalbox.scheduling.latency import Predictions, Promises, headroom
from signalbox.scheduling.latency.lines import ENOUGH
from signalbox.scheduling.observation import Finished, FirstToken
from signalbox.scheduling.producers import PredictedLatencyProducer
from signalbox.scheduling.producers.predicted_latency import PredictedLatencyParameters

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"


def producer(**parameters: Any) -> PredictedLatencyProducer:
    validated = PredictedLatencyParameters.model_validate(parameters, by_alias=True, by_name=False)
    return PredictedLatencyProducer(validated)


def began(endpoint: Endpoint, tokens: float, seconds: float, ahead: float = 0.0) -> FirstToken:
    return FirstToken(endpoint, "m", tokens, 0.0, ahead, 0.0, seconds)


def ended(endpoint: Endpoint, pace: float, decoding: float = 0.0, **fields: Any) -> Finished:
    made = Finished(endpoint, "m", 100.0, 0.0, 11.0, 0.5, 0.5 + 10 * pace, True, 0.0, decoding)
    for name, value in fields.items():
        made = Finished(*[value if name == field else getattr(made, field) for field in Finished.__struct_fields__])
    return made


def taught(plugin: PredictedLatencyProducer, state: Any) -> PredictedLatencyProducer:
    """Row 0 takes 20 ms and 20 us a token, and 10 ms and 1 ms for each neighbour; row 1 twice that."""
    for number in range(3 * ENOUGH):
        tokens, neighbours = float(number % 7) * 500, float(number % 5)
        for row in (0, 1):
            endpoint = state.endpoints[row]
            plugin.first_token(began(endpoint, tokens, (row + 1) * (0.02 + 20e-6 * (tokens + 100)), ahead=100.0))
            plugin.finished(ended(endpoint, (row + 1) * (0.01 + 0.001 * neighbours), neighbours))
    return plugin


def predicted(plugin: PredictedLatencyProducer, cycle: Any) -> Predictions:
    found = plugin.predictions(cycle)
    assert found is not None
    return found


def test_nothing_is_predicted_before_enough_was_seen(world: Any) -> None:
    state, plugin = world(2), producer(streamingMode=True)
    for _ in range(ENOUGH - 1):
        plugin.first_token(began(state.endpoints[0], 1000.0, 0.1))
    assert plugin.predictions(state.cycle()) is None
    plugin.first_token(began(state.endpoints[0], 1000.0, 0.1))
    found = predicted(plugin, state.cycle())
    assert found.ttft[0] > 0
    assert found.tpot is None, "no answer has ended"
    assert (found.tpot_headroom == 0).all()


def test_times_follow_what_is_to_be_computed_and_who_is_there(world: Any) -> None:
    state = world(2, prefill_tokens=[1000, 0], inflight=[4, 0], decoding=[4, 0])
    plugin = taught(producer(streamingMode=True), state)
    cycle = state.cycle(prompt_tokens=1600, prefix=state.prefix([50, 0], total=100))
    found = predicted(plugin, cycle)
    assert found.ttft[:2] == pytest.approx([0.02 + 20e-6 * 1800, 2 * (0.02 + 20e-6 * 1600)], rel=0.02)
    assert found.tpot is not None
    assert found.tpot[:2] == pytest.approx([0.014, 0.02], rel=0.02)
    assert found.of(1).ttft == found.ttft[1]


def test_requests_that_are_not_ours_count(world: Any) -> None:
    state = world(2, waiting=[12, 0], running=[6, 0])
    plugin = taught(producer(streamingMode=True), state)
    found = predicted(plugin, state.cycle())
    assert found.ttft[0] > 10 * 0.02
    assert found.tpot is not None
    assert found.tpot[0] == pytest.approx(0.014, rel=0.05), "two of six may have come while it was scraped"


def test_they_are_worked_out_once_for_a_request_at_a_time(world: Any) -> None:
    state = world(2)
    plugin = taught(producer(streamingMode=True), state)
    cycle = state.cycle(now=5.0)
    first = predicted(plugin, cycle)
    assert predicted(plugin, cycle) is first
    assert cycle.predictions is first
    cycle.now = 6.0  # it has waited
    assert predicted(plugin, cycle) is not first
    other = taught(producer(streamingMode=True), state)
    other.name = "other"
    assert predicted(other, cycle).source == "other"


def test_without_streaming_the_whole_answer_takes_the_place_of_the_first_token(world: Any) -> None:
    state, plugin = world(2), producer()
    for _ in range(ENOUGH):
        plugin.first_token(began(state.endpoints[0], 1000.0, 0.1))
        plugin.finished(ended(state.endpoints[0], 0.1))
    found = predicted(plugin, state.cycle(slo_tpot=0.001, slo_ttft=9.0))
    assert found.ttft[0] == pytest.approx(1.5)
    assert found.tpot is None
    assert found.meets(state.rows).all(), "nobody can tell how fast tokens come"


@pytest.mark.parametrize(
    "fields",
    [
        {"complete": False},
        {"moved": True},
        {"output_tokens": None},
        {"output_tokens": 1.0},
        {"first_token_seconds": None},
    ],
)
def test_answers_that_say_nothing_of_the_pace_teach_none(world: Any, fields: dict[str, Any]) -> None:
    state, plugin = world(2), producer(streamingMode=True)
    for _ in range(2 * ENOUGH):
        plugin.first_token(began(state.endpoints[0], 1000.0, 0.1))
        plugin.finished(ended(state.endpoints[0], 0.1, **fields))
    assert predicted(plugin, state.cycle()).tpot is None


def test_to_learn_alone_can_be_asked_for(world: Any) -> None:
    state = world(2)
    assert taught(producer(streamingMode=True, predictInProduce=False), state).predictions(state.cycle()) is None


class TestHeadroom:
    def test_it_is_what_is_left_up_to_the_objective(self, world: Any) -> None:
        state = world(2)
        plugin = taught(producer(streamingMode=True, sloBufferFactor=0.5), state)
        found = predicted(plugin, state.cycle(slo_ttft=0.1, slo_tpot=0.03))
        assert found.ttft_headroom[:2] == pytest.approx([0.08, 0.06], rel=0.02)
        assert found.tpot_headroom[:2] == pytest.approx([0.005, -0.005], rel=0.05)
        assert found.meets(state.rows).tolist() == [True, False]

    def test_an_objective_that_is_not_stated_is_not_missed_where_another_is(self, world: Any) -> None:
        state = world(2)
        plugin = taught(producer(streamingMode=True), state)
        found = predicted(plugin, state.cycle(slo_tpot=0.015))
        assert (found.ttft_headroom == 0).all()
        assert found.meets(state.rows).tolist() == [True, False]

    def test_without_any_who_is_fastest_is_nearest(self, world: Any) -> None:
        state = world(2)
        plugin = taught(producer(streamingMode=True), state)
        found = predicted(plugin, state.cycle())
        assert not found.meets(state.rows).any()
        assert (found.ttft_headroom == -found.ttft).all()

    def test_objectives_of_requests_in_progress_must_be_kept_too(self, world: Any) -> None:
        state = world(2)
        plugin = taught(producer(streamingMode=True), state)
        strict, loose = state.cycle(slo_tpot=0.011), state.cycle(slo_tpot=0.05)
        plugin.routed(strict, Decision((0, 1), ()))
        assert predicted(plugin, loose).tpot_headroom[:2] == pytest.approx([0.001, 0.03], abs=3e-4)
        plugin.moved(strict, Decision((0, 1), ()), 1)
        after = state.cycle(slo_tpot=0.05)
        assert predicted(plugin, after).tpot_headroom[:2] == pytest.approx([0.04, -0.009], abs=3e-4)
        plugin.finished(ended(state.endpoints[1], 0.02, slo_tpot=0.011))
        last = state.cycle(slo_tpot=0.05)
        assert predicted(plugin, last).tpot_headroom[1] == pytest.approx(0.03, abs=3e-4)

    def test_prefill_servers_have_no_output_tokens_to_be_late_with(self, world: Any) -> None:
        state = world(2, labels=[{"role": "prefill"}, {"role": "decode"}])
        plugin = taught(producer(streamingMode=True, endpointRoleLabel="role"), state)
        found = predicted(plugin, state.cycle(slo_tpot=0.001))
        assert found.tpot_headroom[0] == 0
        assert found.tpot_headroom[1] < 0

    @pytest.mark.parametrize(("others", "expected"), [(True, 0.0), (False, -0.2)])
    def test_of_no_objective(self, others: bool, expected: float) -> None:
        assert headroom(np.array([0.2]), None, others=others).tolist() == [expected]
        assert headroom(np.array([0.2]), 0.5, others=others).tolist() == pytest.approx([0.3])


class TestPromises:
    def test_the_tightest_counts_until_it_ends(self) -> None:
        promises = Promises()
        assert promises.tightest(4) is None
        for row, seconds in ((1, 0.05), (1, 0.02), (1, 0.02), (2, None)):
            promises.give(row, seconds)
        found = promises.tightest(4)
        assert found is not None
        assert found.tolist() == [np.inf, 0.02, np.inf, np.inf]
        promises.end(1, 0.02)
        assert promises.tightest(4) is not None
        promises.end(1, 0.02)
        promises.end(1, 0.02)  # of one that began before a restart
        found = promises.tightest(2)
        assert found is not None
        assert found[1] == 0.05
        promises.end(1, 0.05)
        promises.end(1, 0.05)
        assert promises.tightest(4) is None

    def test_an_endpoint_that_left_takes_them_along(self) -> None:
        promises = Promises()
        promises.give(1, 0.05)
        promises.forget(1)
        promises.forget(1)
        assert promises.tightest(4) is None


def test_an_endpoint_that_left_is_forgotten_and_a_reload_keeps_the_rest(world: Any) -> None:
    state = world(2)
    old, new = taught(producer(streamingMode=True), state), producer(streamingMode=True)
    new.adopt(old)
    assert predicted(new, state.cycle()).ttft[0] == predicted(old, state.cycle()).ttft[0]
    new.routed(state.cycle(slo_tpot=0.001), Decision((1,), ()))
    new.left(state.endpoints[1])
    found = predicted(new, state.cycle(slo_tpot=0.05))
    assert found.ttft[0] < found.ttft[1] < 2 * found.ttft[0], "an average one now"
    assert found.tpot_headroom[1] > 0


def test_what_the_reference_has_for_its_sidecar_is_accepted_and_told() -> None:
    policy = load_policy(
        HEAD + "plugins: [{type: predicted-latency-producer, parameters: {samplingMean: 500, contextTTL: 1m}}]",
        name="x",
    )
    assert [note for note in policy.notes if "has no effect" in note] == [
        "plugins[0].parameters.samplingMean: predicted-latency-producer: has no effect: predictions are learned in the"
        " picker; there is no sidecar to train or to ask",
        "plugins[0].parameters.contextTTL: predicted-latency-producer: has no effect: what is kept of a request ends"
        " with it",
    ]


@pytest.mark.parametrize("type", ["latency-scorer", "slo-headroom-tier-filter", "latency-slo-admitter"])
def test_who_asks_brings_the_producer_along(type: str) -> None:
    policy = load_policy(f"{HEAD}plugins: [{{type: {type}}}]", name="x")
    assert [plugin.type for plugin in policy.plugins].count("predicted-latency-producer") == 1
    named = (
        f"{HEAD}plugins: [{{type: predicted-latency-producer, name: mine}},"
        f" {{type: {type}, parameters: {{latencyPredictionInfoProducerName: mine}}}}]"
    )
    assert [plugin.name for plugin in load_policy(named, name="x").plugins].count("predicted-latency-producer") == 0


def test_the_example_loads_and_holds_nothing_without_effect() -> None:
    path = Path(__file__).parents[2] / "examples/scheduling/predicted-latency.yaml"
    policy = load_policy(path.read_text(), name="predicted-latency.yaml")
    assert policy.notes == ()
    assert [plugin.type for plugin in policy.admitters] == ["latency-slo-admitter"]
