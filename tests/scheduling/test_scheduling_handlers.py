"""Which profiles run, in which order, and what the gateway is told about their choices."""

from __future__ import annotations

from typing import Any

import pytest

from signalbox.scheduling import Decision, Policy, load_policy

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
ROLES = [{"llm-d.ai/role": role} for role in ("prefill", "decode", "encode", "encode", "decode")]


def disagg(deciders: str = "", *, order: str = "decode-first", plugins: str = "", stages: str = "dpe") -> Policy:
    names = {"d": "decode", "p": "prefill", "e": "encode"}
    profiles = "".join(
        f"- name: {names[stage]}\n  plugins: [{{pluginRef: {names[stage]}-filter}}, {{pluginRef: queue-scorer}}]\n"
        for stage in stages
    )
    return load_policy(
        f"""{HEAD}plugins:
- type: queue-scorer
- type: decode-filter
- type: prefill-filter
- type: encode-filter
- type: always-disagg-pd-decider
- type: always-disagg-multimodal-decider
- type: prefix-based-pd-decider
  parameters: {{nonCachedTokens: 100, promptTokens: 120}}
{plugins}- type: disagg-profile-handler
  parameters: {{stageOrder: {order}, deciders: {{{deciders}}}}}
schedulingProfiles:
{profiles}""",
        name="epp.yaml",
    )


def decide(policy: Policy, world: Any, roles: list[dict[str, str]] | None = None, **fields: Any) -> Decision | None:
    state = world(5, labels=roles or ROLES, waiting=[0, 0, 0, 1, 1])
    return policy.schedule(state.cycle(**fields), state.rows)


def ran(decision: Decision | None) -> list[str]:
    assert decision is not None
    return [step.plugin for step in decision.steps if step.plugin.endswith("-filter")]


def test_without_deciders_only_decode_runs(world: Any) -> None:
    decision = decide(disagg(), world)
    assert decision is not None
    assert (decision.rows, decision.profile, decision.headers, decision.stages) == ((1, 4), "decode", {}, {})


def test_prefill_and_encode_choices_go_into_headers(world: Any) -> None:
    deciders = "prefill: always-disagg-pd-decider, encode: always-disagg-multimodal-decider"
    decision = decide(disagg(deciders), world, multimodal=True)
    assert ran(decision) == ["decode-filter", "encode-filter", "prefill-filter"]
    assert decision is not None
    assert decision.headers == {"x-prefiller-host-port": "10.0.0.1:8000", "x-encoder-hosts-ports": "10.0.0.3:8000"}
    assert decision.stages == {"prefill": (0,), "encode": (2,)}
    assert [ranking.profile for ranking in decision.scores] == ["decode", "prefill", "encode"]
    assert ran(decide(disagg(deciders), world)) == ["decode-filter", "prefill-filter"], "a prompt of text only"


def test_several_encoders_where_the_file_asks_for_them(world: Any) -> None:
    picker = "- type: max-score-picker\n  parameters: {maxNumOfEndpoints: 2}\n"
    decision = decide(disagg("encode: always-disagg-multimodal-decider", plugins=picker), world, multimodal=True)
    assert decision is not None
    assert decision.headers == {"x-encoder-hosts-ports": "10.0.0.3:8000,10.0.0.4:8000"}


@pytest.mark.parametrize(
    ("tokens", "cached_blocks", "expected"),
    [(160, 0, True), (160, 3, True), (160, 4, False), (119, 0, False)],
    ids=["nothing cached", "enough missing", "too much cached", "prompt too short"],
)
def test_prefix_based_decider(world: Any, tokens: int, cached_blocks: int, expected: bool) -> None:
    state = world(5, labels=ROLES, waiting=[0, 0, 0, 1, 1])
    prefix = state.prefix([0, cached_blocks], total=10)
    prefix.tokens = tokens
    policy = disagg("prefill: prefix-based-pd-decider")
    decision = policy.schedule(state.cycle(prefix=prefix, prompt_tokens=tokens), state.rows)
    assert decision is not None
    assert ("x-prefiller-host-port" in decision.headers) is expected


def test_without_a_lookup_the_prefix_based_decider_says_no(world: Any) -> None:
    assert ran(decide(disagg("prefill: prefix-based-pd-decider"), world, prompt_tokens=500)) == ["decode-filter"]


def test_prefill_first(world: Any) -> None:
    decision = decide(disagg(order="prefill-first"), world)
    assert ran(decision) == ["prefill-filter", "decode-filter"]
    assert decision is not None
    assert (decision.rows[0], decision.stages) == (1, {"prefill": (0,)})


def test_no_prefill_server_degrades_and_no_decode_server_ends_the_request(world: Any) -> None:
    policy = disagg("prefill: always-disagg-pd-decider")
    decision = decide(policy, world, [{"llm-d.ai/role": "decode"}] * 5)
    assert decision is not None
    assert decision.headers == {}
    assert decide(policy, world, [{"llm-d.ai/role": "prefill"}] * 5) is None


HEADER_PROFILES = f"""{HEAD}plugins:
- type: decode-filter
- type: prefill-filter
- type: header-profile-handler
schedulingProfiles:
- name: prefill
  plugins: [{{pluginRef: prefill-filter}}]
- name: decode
  plugins: [{{pluginRef: decode-filter}}]
"""


@pytest.mark.parametrize(("header", "expected"), [(None, "decode"), ("prefill", "prefill"), ("decode", "decode")])
def test_a_header_names_the_profile(world: Any, header: str | None, expected: str) -> None:
    headers = {} if header is None else {"epp-profile": header}
    decision = decide(load_policy(HEADER_PROFILES, name="epp.yaml"), world, headers=headers)
    assert decision is not None
    assert decision.profile == expected


def test_a_header_that_names_no_profile_leaves_no_endpoint_and_a_step_says_why(world: Any) -> None:
    state = world(5, labels=ROLES)
    cycle = state.cycle(headers={"epp-profile": "x" * 100})
    assert load_policy(HEADER_PROFILES, name="epp.yaml").schedule(cycle, state.rows) is None
    assert cycle.steps[-1].plugin == f"header-profile-handler: no profile {'x' * 64!r}"
