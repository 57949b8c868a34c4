"""What the first token of an answer and its end change, and what policies are told of both."""

from __future__ import annotations

import json
import random
from typing import Any, ClassVar

import pytest

from signalbox.director import Arrival, Director, Routed, Ticket, guide_rules, policy_rules
from signalbox.director.tickets import LONGEST_ANSWER_TOKENS
from signalbox.payloads import Usage
from signalbox.pool import Pool, Readings
from signalbox.scheduling import load_policy
from signalbox.scheduling.faults import Faults
from signalbox.scheduling.observation import Finished, FirstToken
from signalbox.scheduling.plugin import Parameters, Plugin
from signalbox.scheduling.policy import Policy, Surroundings

PROMPT = "Write as if you were a critic of everything that is served here, soup included. " * 20
TOKENS = len(PROMPT) // 4
DISAGGREGATED = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: decode-filter}
- {type: prefill-filter}
- {type: prefix-cache-scorer}
- {type: always-disagg-pd-decider}
- type: disagg-profile-handler
  parameters: {deciders: {prefill: always-disagg-pd-decider}}
schedulingProfiles:
- {name: prefill, plugins: [{pluginRef: prefill-filter}, {pluginRef: prefix-cache-scorer}]}
- {name: decode, plugins: [{pluginRef: decode-filter}, {pluginRef: prefix-cache-scorer}]}
"""


class Listener(Plugin[Parameters]):
    """Writes down what it hears."""

    type: ClassVar[str] = "listener"

    def __init__(self) -> None:
        super().__init__()
        self.first: list[FirstToken] = []
        self.ends: list[Finished] = []

    def first_token(self, observation: FirstToken) -> None:
        """Write it down."""
        self.first.append(observation)

    def finished(self, observation: Finished) -> None:
        """Write it down."""
        self.ends.append(observation)


def listening(pool: Pool, listener: Plugin[Any]) -> Director:
    """A director that decides by the default configuration, with ``listener`` among its plugins."""
    policy = load_policy("", name="test.yaml")
    heard = Policy(
        policy.handler,
        policy.profiles,
        policy.detector,
        (*policy.plugins, listener),
        Surroundings(prefix=policy.prefix),
        Faults(),
    )
    return Director(pool, policy_rules(heard, pool), rng=random.Random(1))


def arrive(
    director: Director, now: float = 0.0, *, prompt: str = PROMPT, stream: bool = True, most: int = 50
) -> Ticket:
    body = {"model": "m", "prompt": prompt, "max_tokens": most, "stream": stream}
    outcome = director.arrive(Arrival("/v1/completions", json.dumps(body).encode()), now)
    assert isinstance(outcome, Routed)
    assert outcome.ticket is not None
    return outcome.ticket


def sums(pool: Pool) -> tuple[float, float, float, float]:
    """Uncached prompts without an answer, tokens in flight, requests that decode, tokens of context."""
    columns = pool.columns
    return (
        float(columns.prefill_tokens.sum()),
        float(columns.inflight_tokens.sum()),
        float(columns.decoding.sum()),
        float(columns.context_tokens.sum()),
    )


def test_the_first_byte_of_a_streamed_answer_releases_its_prompt(build_pool: Any) -> None:
    pool = build_pool((0, 0, set()))
    director = Director(pool, guide_rules())
    ticket = arrive(director)
    assert sums(pool) == (TOKENS, TOKENS + 50, 0, TOKENS + 50)
    director.first_byte(ticket, 1.0, 200)
    assert sums(pool) == (0, 50, 1, TOKENS + 50)
    director.finish(ticket, 2.0, outcome="complete", status=200)
    assert sums(pool) == (0, 0, 0, 0)


@pytest.mark.parametrize(("stream", "status"), [(False, 200), (True, 503), (True, 400)])
def test_the_first_byte_of_anything_else_is_its_end(build_pool: Any, stream: bool, status: int) -> None:
    pool = build_pool((0, 0, set()))
    listener = Listener()
    director = listening(pool, listener)
    ticket = arrive(director, stream=stream)
    before = sums(pool)
    director.first_byte(ticket, 1.0, status)
    assert sums(pool) == before
    assert not listener.first
    director.finish(ticket, 2.0, outcome="complete", status=status)
    assert sums(pool) == (0, 0, 0, 0)


@pytest.mark.parametrize("begun", [False, True])
def test_a_client_that_goes_away_takes_everything_along(build_pool: Any, begun: bool) -> None:
    pool = build_pool((0, 0, set()))
    director = Director(pool, guide_rules())
    ticket = arrive(director)
    if begun:
        director.first_byte(ticket, 1.0, 200)
    director.finish(ticket, 2.0, outcome="cancelled", status=None)
    director.first_byte(ticket, 3.0, 200)
    assert sums(pool) == (0, 0, 0, 0)


def test_an_absurd_answer_limit_is_not_taken_at_its_word(build_pool: Any) -> None:
    pool = build_pool((0, 0, set()))
    arrive(Director(pool, guide_rules()), most=10**11)
    assert sums(pool)[1] == TOKENS + LONGEST_ANSWER_TOKENS


def test_the_prefill_server_is_free_at_the_first_token(objects: Any) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool())
    pool.put(objects.pod("d", "10.0.0.1", labels={"app": "llm", "llm-d.ai/role": "decode"}))
    pool.put(objects.pod("p", "10.0.0.2", labels={"app": "llm", "llm-d.ai/role": "prefill"}))
    director = Director(pool, policy_rules(load_policy(DISAGGREGATED, name="pd.yaml"), pool))
    ticket = arrive(director)
    (prefiller,) = [endpoint.row for endpoint in pool.endpoints if endpoint.pod == "p"]
    assert pool.columns.prefill_tokens[prefiller] > 0
    director.first_byte(ticket, 1.0, 200)
    assert pool.columns.inflight[prefiller] == 0
    assert pool.columns.inflight.sum() == 1
    again = arrive(director)
    assert pool.columns.context_tokens[prefiller] > 4 * pool.columns.prefill_tokens[prefiller]
    for one in (ticket, again):
        director.finish(one, 2.0, outcome="complete", status=200)
    assert sums(pool) == (0, 0, 0, 0)


def test_a_policy_hears_of_the_first_token_as_things_were_at_the_choice(build_pool: Any) -> None:
    pool = build_pool((0, 0, set()))
    (endpoint,) = pool.endpoints
    listener = Listener()
    director = listening(pool, listener)
    first = arrive(director, 10.0)
    director.first_byte(first, 10.5, 200)
    arrive(director, 11.0, prompt="Something else entirely, which nobody has asked before. " * 8)
    ahead = float(pool.columns.prefill_tokens.sum())
    third = arrive(director, 12.0)
    director.first_byte(third, 12.25, 200)
    director.first_byte(third, 12.5, 200)
    assert ahead > 0
    cached = third.cached_tokens
    assert 0 < cached <= third.prompt_tokens_estimate
    assert listener.first == [
        FirstToken(endpoint, "m", float(first.prompt_tokens_estimate), 0.0, 0.0, 0.0, 0.5),
        FirstToken(endpoint, "m", float(third.prompt_tokens_estimate), cached, ahead, 1.0, 0.25),
    ]


def test_what_a_server_has_not_shown_for_a_while_is_not_ahead_of_anything(build_pool: Any) -> None:
    pool = build_pool((0, 0, set()))
    (endpoint,) = pool.endpoints
    for _ in range(3):
        pool.acquire(endpoint, 1000)
    for now in (0.0, 5.0, 10.0):
        pool.record(endpoint, Readings(waiting=0, running=0), pool.begin_scrape(endpoint), now)
    listener = Listener()
    director = listening(pool, listener)
    ticket = arrive(director, 10.0)
    director.first_byte(ticket, 10.5, 200)
    assert listener.first[0].ahead == 0


@pytest.mark.parametrize(
    ("usage", "prompt", "cached", "output"),
    [
        (Usage(900, 12, 640), 900, 640, 12),
        (Usage(900, 12, None), 900, None, 12),
        (Usage(0, 12, None), None, None, 12),
        (None, None, None, None),
    ],
)
def test_a_policy_hears_of_the_end_with_the_servers_own_counts_where_it_says_so(
    build_pool: Any, usage: Usage | None, prompt: int | None, cached: int | None, output: int | None
) -> None:
    pool = build_pool((0, 0, set()))
    listener = Listener()
    director = listening(pool, listener)
    ticket = arrive(director, 10.0)
    director.first_byte(ticket, 10.5, 200)
    director.finish(ticket, 13.0, outcome="complete", status=200, usage=usage)
    director.finish(ticket, 14.0, outcome="complete", status=200, usage=usage)
    expected = ticket.prompt_tokens_estimate if prompt is None else prompt
    assert listener.ends == [Finished(pool.endpoints[0], "m", expected, cached, output, 0.5, 3.0, True)]


@pytest.mark.parametrize(
    ("outcome", "status", "complete"),
    [("complete", 200, True), ("complete", None, True), ("complete", 404, False), ("cancelled", 200, False)],
)
def test_only_a_whole_answer_is_complete(build_pool: Any, outcome: str, status: int | None, complete: bool) -> None:
    listener = Listener()
    director = listening(build_pool((0, 0, set())), listener)
    ticket = arrive(director, stream=False)
    director.first_byte(ticket, 1.0, status)
    director.finish(ticket, 2.0, outcome=outcome, status=status)
    assert [(end.complete, end.first_token_seconds) for end in listener.ends] == [(complete, None)]


def test_a_request_that_a_fallback_served_teaches_nothing_about_first_tokens(build_pool: Any) -> None:
    pool = build_pool((0, 0, set()), (5, 0, set()))
    listener = Listener()
    director = listening(pool, listener)
    ticket = arrive(director)
    director.served(ticket, ticket.fallbacks[0].address)
    director.first_byte(ticket, 1.0, 200)
    director.finish(ticket, 2.0, outcome="complete", status=200)
    assert not listener.first
    assert [end.endpoint for end in listener.ends] == [ticket.endpoint]
    assert sums(pool) == (0, 0, 0, 0)


def test_a_fallback_that_has_left_takes_over_no_account(build_pool: Any, objects: Any) -> None:
    pool = build_pool((0, 0, set()), (5, 0, set()))
    director = Director(pool, guide_rules())
    ticket = arrive(director)
    gone = ticket.fallbacks[0]
    pool.put(objects.pod(gone.pod, gone.host, ready=False))
    director.served(ticket, gone.address)
    assert pool.columns.inflight[gone.row] == 0
    director.finish(ticket, 2.0, outcome="complete", status=200)
    assert sums(pool) == (0, 0, 0, 0)


def test_the_policy_that_chose_hears_of_the_end_whoever_decides_by_then(build_pool: Any) -> None:
    pool = build_pool((0, 0, set()))
    listener = Listener()
    director = listening(pool, listener)
    ticket = arrive(director)
    director.rules = guide_rules()
    director.finish(ticket, 2.0, outcome="complete", status=200)
    assert len(listener.ends) == 1


def test_a_plugin_that_raises_at_either_is_noted_and_nothing_else_happens(build_pool: Any) -> None:
    class Broken(Listener):
        """Cannot bear to hear it."""

        def first_token(self, observation: FirstToken) -> None:
            """Raise."""
            raise RuntimeError("first")

        def finished(self, observation: Finished) -> None:
            """Raise."""
            raise RuntimeError("end")

    pool = build_pool((0, 0, set()))
    broken = Broken()
    director = listening(pool, broken)
    ticket = arrive(director)
    director.first_byte(ticket, 1.0, 200)
    director.finish(ticket, 2.0, outcome="complete", status=200)
    assert director.rules.policy is not None
    assert director.rules.policy.faults == {"listener": 2}
    assert sums(pool) == (0, 0, 0, 0)
