"""What the servers of the other stages are charged with, and what they are believed to hold afterwards."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from signalbox.director import Arrival, Director, Routed, policy_rules
from signalbox.pool import Pool
from signalbox.scheduling import load_policy

PARTS = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: prefix-cache-scorer}
- {type: label-selector-filter, name: encoders, parameters: {matchLabels: {does: encode}}}
- {type: label-selector-filter, name: prefillers, parameters: {matchLabels: {does: prefill}}}
- {type: label-selector-filter, name: decoders, parameters: {matchLabels: {does: decode}}}
- {type: random-picker, name: two, parameters: {maxNumOfEndpoints: 2}}
- {type: always-disagg-multimodal-decider}
- {type: always-disagg-pd-decider}
- type: disagg-profile-handler
  parameters: {deciders: {encode: always-disagg-multimodal-decider, prefill: always-disagg-pd-decider}}
schedulingProfiles:
- {name: encode, plugins: [{pluginRef: encoders}, {pluginRef: two}]}
- {name: prefill, plugins: [{pluginRef: prefillers}, {pluginRef: prefix-cache-scorer}]}
- {name: decode, plugins: [{pluginRef: decoders}, {pluginRef: prefix-cache-scorer}]}
"""
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
PARAGRAPH = {"type": "text", "text": "what is on this picture? " * 100}


@pytest.fixture
def pool(objects: Any) -> Pool:
    built = Pool("pool")
    built.set_pool(objects.pool())
    for number, does in enumerate(("encode", "encode", "prefill", "decode")):
        built.put(objects.pod(f"p{number}", f"10.0.0.{number + 1}", labels={"app": "llm", "does": does}))
    return built


def decide(pool: Pool) -> tuple[Director, Routed]:
    to = Director(pool, policy_rules(load_policy(PARTS, name="t.yaml"), pool), rng=random.Random(1))
    body = {"model": "m", "messages": [{"role": "user", "content": [PARAGRAPH, IMAGE]}]}
    outcome = to.arrive(Arrival("/v1/chat/completions", json.dumps(body).encode()), 1.0)
    assert isinstance(outcome, Routed)
    return to, outcome


def test_every_server_that_takes_part_has_the_request_on_its_account(pool: Pool) -> None:
    to, routed = decide(pool)
    assert sorted(routed.headers["x-encoder-hosts-ports"].split(",")) == ["10.0.0.1:8000", "10.0.0.2:8000"]
    assert pool.columns.inflight[pool.rows].tolist() == [1, 1, 1, 1]
    assert routed.ticket is not None
    to.finish(routed.ticket, 2.0, outcome="complete", status=200)
    assert pool.columns.inflight[pool.rows].tolist() == [0, 0, 0, 0]


def test_encode_servers_compute_no_prompt(pool: Pool) -> None:
    _, routed = decide(pool)
    ticket = routed.ticket
    assert ticket is not None
    tokens = ticket.prompt_tokens_estimate
    assert tokens > 0
    assert pool.columns.prefill_tokens[pool.rows].tolist() == [0, 0, tokens, tokens]
    assert pool.columns.context_tokens[pool.rows[:2]].tolist() == [0, 0]


def test_who_computes_the_prompt_is_believed_to_hold_it_and_nobody_else(pool: Pool) -> None:
    to, routed = decide(pool)
    assert routed.ticket is not None
    host = {endpoint.row: endpoint.labels["does"] for endpoint in pool.endpoints}
    assert [host[insertion.row] for insertion in routed.ticket.insertions] == ["decode", "prefill"]
    assert to.rules.prefix is not None
    for endpoint in pool.endpoints[2:]:
        to.rules.prefix.forget(endpoint)
    assert to.rules.prefix.blocks == 0
