"""Requests that wait in the picker, in virtual time: configurations with the gate ``flowControl``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.director import Rules
from signalbox.director.rules import Scheduler
from signalbox.engine import DEFAULT_PROFILE, PROFILES, EngineConfig
from signalbox.lab import Contender, Scraping, Server, Stage, TraceRequest, Workload, configured, guide, replay
from signalbox.lab.outcome import COMPLETE, REFUSED, Outcome
from signalbox.lab.replay import _Replay
from signalbox.pool import Rows
from signalbox.scheduling import Cycle, Decision

MakeServer = Callable[..., Server]
MakeWorkload = Callable[..., Workload]


def queueing(flow: str = "", *, most: int = 1, detector: str = "", policy: str = "") -> Contender:
    """Requests wait while every server has ``most`` in flight. ``flow`` is YAML for the section ``flowControl``."""
    concurrency = f"{{type: concurrency-detector, parameters: {{maxConcurrency: {most}}}}}"
    return configured(
        f"""\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins:
- {{type: queue-scorer}}
- {{type: active-request-scorer}}
- {detector or concurrency}
{policy}
schedulingProfiles:
- name: default
  plugins:
  - {{pluginRef: active-request-scorer}}
flowControl:
  saturationDetector: {{pluginRef: {"utilization-detector" if detector else "concurrency-detector"}}}
  {flow}
""",
        "flow.yaml",
    )


def test_two_servers_with_one_place_each_by_hand(second_server: MakeServer, workload_of: MakeWorkload) -> None:
    """Every step takes a second. Request 0 comes at 0 and takes one server until 3, request 1 comes at 0.5 and takes
    the other until 2.5. Request 2 comes at 1 and waits for the one of 1 at 2.5, one token until 3.5. Request 3 comes at
    1.5 and waits for that of 0 at 3, two tokens until 5. Request 4 comes at 2 and waits until 3.5, one token until 4.5.
    """
    workload = workload_of((0.0, 10, 3), (0.5, 10, 2), (1.0, 10, 1), (1.5, 10, 2), (2.0, 10, 1))
    outcome = replay(workload, [second_server()] * 2, queueing())
    first, second = outcome.server[:2].tolist()
    assert {first, second} == {0, 1}
    assert outcome.server.tolist() == [first, second, second, first, second]
    assert outcome.held.tolist() == [0.0, 0.0, 1.5, 1.5, 1.5]
    assert outcome.queue.tolist() == [0.0] * 5  # nobody waits on a server
    assert outcome.ttft.tolist() == [1.0, 1.0, 2.5, 2.5, 2.5]
    assert outcome.e2e.tolist() == [3.0, 2.0, 2.5, 3.5, 2.5]


def test_a_higher_priority_overtakes(second_server: MakeServer, workload_of: MakeWorkload) -> None:
    plain = workload_of((0.0, 10, 5), (1.0, 10, 1), (2.0, 10, 1))
    urgent = TraceRequest(3.0, 10, 1, priority=7)
    outcome = replay(Workload("w", (*plain.requests, urgent), 8), [second_server()], queueing())
    # The first ends at 5, the urgent one at 6, then by arrival.
    assert (outcome.arrival + outcome.e2e).tolist() == [5.0, 7.0, 8.0, 6.0]


def test_tenants_take_turns(second_server: MakeServer) -> None:
    """One tenant sends three requests, then another one. Of those who wait the second one's is the second to go."""
    requests = [TraceRequest(0.0, 10, 5)]
    requests += [TraceRequest(1.0 + n / 8, 10, 1, tenant="greedy") for n in range(3)]
    requests += [TraceRequest(2.0, 10, 1, tenant="modest")]
    fair = "defaultPriorityBand: {fairnessPolicyRef: round-robin-fairness-policy}"
    contender = queueing(fair, policy="- {type: round-robin-fairness-policy}")
    ends = {}
    for name, one in (("fair", contender), ("by arrival", queueing())):
        outcome = replay(Workload("w", tuple(requests), 8), [second_server()], one)
        ends[name] = (outcome.arrival + outcome.e2e).tolist()
    assert ends["by arrival"] == [5.0, 6.0, 7.0, 8.0, 9.0]
    assert ends["fair"] == [5.0, 6.0, 8.0, 9.0, 7.0]


def test_who_waits_too_long_is_refused(second_server: MakeServer, workload_of: MakeWorkload) -> None:
    workload = workload_of((0.0, 10, 20), (1.0, 10, 1), (17.0, 10, 1))
    outcome = replay(workload, [second_server()], queueing("defaultRequestTTL: 4s"))
    assert outcome.ended.tolist() == [COMPLETE, REFUSED, COMPLETE]
    assert outcome.held[[0, 2]].tolist() == [0.0, 3.0]
    assert np.isnan(outcome.held[1])
    assert np.isnan(outcome.ttft[1])


def test_who_finds_the_queue_full_is_refused(second_server: MakeServer, workload_of: MakeWorkload) -> None:
    workload = workload_of((0.0, 10, 9), (1.0, 10, 1), (2.0, 10, 1), (3.0, 10, 1))
    outcome = replay(workload, [second_server()], queueing('maxRequests: "2"'))
    assert outcome.ended.tolist() == [COMPLETE, COMPLETE, COMPLETE, REFUSED]


def test_who_comes_before_the_first_server_waits_for_it(second_server: MakeServer, workload_of: MakeWorkload) -> None:
    outcome = replay(workload_of((0.0, 10, 2), (1.0, 10, 2)), [second_server(joins=5.0)], queueing(most=2))
    assert outcome.held.tolist() == [5.0, 4.0]
    assert outcome.e2e.tolist() == [7.0, 6.0]


def test_who_can_never_go_is_refused_in_the_end(second_server: MakeServer, workload_of: MakeWorkload) -> None:
    """The only server leaves, and nobody's time runs out."""
    outcome = replay(
        workload_of((0.0, 10, 1), (6.0, 10, 1)), [second_server(leaves=5.0)], queueing("defaultRequestTTL: 0s")
    )
    assert outcome.ended.tolist() == [COMPLETE, REFUSED]


def test_room_that_only_a_scrape_shows_is_seen_when_it_comes(
    second_server: MakeServer, workload_of: MakeWorkload
) -> None:
    """The detector looks at queues as scraped, once a second; one sequence runs at a time."""
    detector = "{type: utilization-detector, parameters: {queueDepthThreshold: 2, metricsStalenessThreshold: 1h}}"
    workload = workload_of(*[(n / 100, 10, 2) for n in range(12)], (2.0, 10, 2), (2.5, 10, 2))
    outcome = replay(
        workload, [second_server(max_num_seqs=1)], queueing(detector=detector), scraping=Scraping(interval=1.0)
    )
    assert outcome.complete.all()
    late = outcome.held[-2:]
    assert (late > 1.0).all()
    # They go when a scrape comes in, 5 ms after its beginning, and these are whole seconds apart.
    sent = outcome.arrival[-2:] + late
    assert float(sent[1] - sent[0]) % 1.0 == pytest.approx(0.0, abs=1e-9)


def test_a_request_is_taken_back_for_one_that_matters_more(second_server: MakeServer) -> None:
    requests = (TraceRequest(0.0, 10, 50, priority=-1), TraceRequest(2.0, 10, 2, priority=3))
    outcome = replay(Workload("w", requests, 8), [second_server()], queueing("enableEviction: true"))
    assert outcome.ended.tolist() == [REFUSED, COMPLETE]
    assert outcome.held[1] == 0.0
    kept = replay(Workload("w", requests, 8), [second_server()], queueing())
    assert kept.complete.all()
    assert kept.held[1] == 48.0


def test_while_nobody_waits_nobody_looks(
    second_server: MakeServer, workload_of: MakeWorkload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of the replay, not of the engines: one for each arrival, each sample and the end."""
    looks = []
    take = _Replay._take

    def counting(run: _Replay, until: float) -> None:
        looks.append(until)
        take(run, until)

    monkeypatch.setattr(_Replay, "_take", counting)
    workload = workload_of(*[(float(n), 10, 3) for n in range(30)])
    replay(workload, [second_server()] * 2, queueing(most=100))
    with_queues = len(looks)
    looks.clear()
    replay(workload, [second_server()] * 2, guide())
    assert len(looks) == with_queues


# -- laws -----------------------------------------------------------------------------------------------------------

REQUESTS = st.lists(
    st.tuples(
        st.floats(0, 30),
        st.integers(1, 80),
        st.integers(1, 20),
        st.sampled_from([0, 0, 5, -1]),
        st.sampled_from(["", "a", "b"]),
    ),
    min_size=1,
    max_size=25,
)
FLOWS = (
    "",
    "defaultRequestTTL: 3s",
    'maxRequests: "3"',
    "enableEviction: true",
    "defaultPriorityBand: {fairnessPolicyRef: round-robin-fairness-policy}",
)


def run(requests: list[tuple[float, int, int, int, str]], flow: str, most: int, servers: list[Server]) -> Outcome:
    made = tuple(
        TraceRequest(at, prompt, output, priority=priority, tenant=tenant)
        for at, prompt, output, priority, tenant in sorted(requests)
    )
    contender = queueing(flow, most=most, policy="- {type: round-robin-fairness-policy}" if "robin" in flow else "")
    return replay(Workload("drawn", made, 8), servers, contender, scraping=Scraping(0.5, 0.1, 0.1, 0.1))


@pytest.mark.parametrize("flow", FLOWS)
@settings(max_examples=25)
@given(requests=REQUESTS, most=st.integers(1, 4), joins=st.sampled_from([0.0, 10.0]))
def test_no_request_is_lost(
    flow: str, requests: list[tuple[float, int, int, int, str]], most: int, joins: float
) -> None:
    servers = servers_that_count(most, joins)
    outcome = run(requests, flow, most, servers)
    done = outcome.complete
    assert len(outcome.ended) == len(requests)
    assert (outcome.held[done] >= 0).all()
    assert (outcome.held[done] + outcome.queue[done] < outcome.ttft[done]).all()
    assert (outcome.ttft[done] <= outcome.e2e[done]).all()
    assert np.isnan(outcome.held[~done]).all()
    assert (outcome.server[~done] == -1).all()
    if flow in ("", FLOWS[-1]):
        assert done.all()
    if flow == "enableEviction: true":
        assert (outcome.priority[~done] < 0).all()
    assert not run(requests, flow, most, servers).differs(outcome)


@settings(max_examples=25)
@given(requests=REQUESTS, most=st.integers(1, 4))
def test_no_server_ever_has_more_than_its_share(requests: list[tuple[float, int, int, int, str]], most: int) -> None:
    """Counted from when each was sent to when it ended; the pool has places for two servers' worth."""
    outcome = run(requests, "", most, servers_that_count(most, 0.0))
    sent, gone = outcome.arrival + outcome.held, outcome.arrival + outcome.e2e
    for at in sent:
        assert int(((sent <= at) & (gone > at)).sum()) <= 2 * most


def servers_that_count(most: int, joins: float) -> list[Server]:
    config = EngineConfig(num_gpu_blocks=100, block_size=4, max_num_seqs=4, max_num_batched_tokens=32)
    profile = replace(PROFILES[DEFAULT_PROFILE], step_seconds=0.2)
    return [Server(profile, config, joins), Server(profile, config, joins).slowed(2.0)]


class Watching:
    """Notes the length of the prompt that each decision is about."""

    def __init__(self, inner: Scheduler) -> None:
        self.inner = inner
        self.seen: list[float] = []

    def schedule(self, cycle: Cycle, rows: Rows) -> Decision | None:
        self.seen.append(cycle.prompt_tokens)
        return self.inner.schedule(cycle, rows)


def test_a_decision_is_about_the_request_whose_turn_it_is(second_server: MakeServer, workload_of: MakeWorkload) -> None:
    watching: list[Watching] = []

    def rules(stage: Stage) -> Rules:
        made = queueing().rules(stage)
        watching.append(Watching(made.scheduler))
        return replace(made, scheduler=watching[0])

    workload = workload_of((0.0, 11, 5), (1.0, 12, 1), (2.0, 13, 1))
    replay(workload, [second_server()], Contender("watched", rules))
    assert watching[0].seen == [11, 12, 13]
