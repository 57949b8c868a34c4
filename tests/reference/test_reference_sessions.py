"""The later suite's session cases: a token in the answer leads the next request back, and so does a session's name."""

from __future__ import annotations

from typing import Any

import pytest
from tests.extproc.one_gateway import mutated
from tests.reference.hermetic import Hermetic, completion, pool_of, routed

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
NAMED = "{strategy: session_id, sessionIdConfig: {sources: [{header: x-session-id}]}}"
ROLES = [{"llm-d.ai/role": role} for role in ("decode", "decode", "prefill", "prefill")]


def single(plugin: str, parameters: str = "{}") -> str:
    return (
        f"{HEAD}plugins: [{{type: {plugin}, parameters: {parameters}}}, {{type: queue-scorer}}]\n"
        f"schedulingProfiles: [{{name: a, plugins: [{{pluginRef: {plugin}, weight: 5}}, {{pluginRef: queue-scorer}}]}}]"
    ).replace(", weight: 5" if plugin.endswith("filter") else "\0", "")


def two_stages(prefill: bool) -> str:
    parameters = "{profileName: prefill, encodedEndpointHeaderConfig: {header: x-session-token-prefill}}"
    decider = "always-disagg-pd-decider" if prefill else "prefix-based-pd-decider"  # the latter's default is never
    return f"""{HEAD}plugins:
- {{type: {decider}}}
- {{type: disagg-profile-handler, parameters: {{deciders: {{prefill: {decider}}}}}}}
- {{type: decode-filter}}
- {{type: prefill-filter}}
- {{type: queue-scorer}}
- {{type: session-affinity-scorer, name: to-decode}}
- {{type: session-affinity-scorer, name: to-prefill, parameters: {parameters}}}
schedulingProfiles:
- name: decode
  plugins: [{{pluginRef: decode-filter}}, {{pluginRef: queue-scorer}}, {{pluginRef: to-decode, weight: 5}}]
- name: prefill
  plugins: [{{pluginRef: prefill-filter}}, {{pluginRef: queue-scorer}}, {{pluginRef: to-prefill, weight: 5}}]
"""


def ask(picker: Hermetic, **headers: str) -> tuple[str, str, dict[str, str]]:
    """Send a request; return its endpoint, its prefill endpoint, and what is set on its answer."""
    stream = picker.stream()
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    route = routed(stream.headers({":path": "/v1/completions", **sent}) + stream.body(completion("m", "x")))
    (head,) = stream.answer_headers({":status": "200", "content-type": "application/json"})
    stream.answer_body(b"{}")
    return route.destination, route.headers.get("x-prefiller-host-port", ""), mutated(head.response_headers.response)


def busy(picker: Hermetic, *waiting: float) -> None:
    """Make other endpoints look better than those that were chosen."""
    for endpoint in picker.pool.endpoints:
        picker.pool.columns.waiting[endpoint.row] = waiting[int(endpoint.host[-1]) - 1]
        picker.pool.columns.scraped(endpoint.row, 0.0)


@pytest.mark.parametrize("plugin", ["session-affinity-scorer", "session-affinity-filter"])
def test_the_token_of_an_answer_pins_the_next_request(plugin: str) -> None:
    picker = Hermetic(pool_of([(0, 0, ""), (9, 0, "")]), single(plugin))
    first, _, answer = ask(picker)
    assert first == "192.168.1.1:8000"
    busy(picker, 9, 0)
    assert ask(picker)[0] == "192.168.1.2:8000"
    assert ask(picker, x_session_token=answer["x-session-token"])[0] == first


@pytest.mark.parametrize("plugin", ["session-affinity-scorer", "session-affinity-filter"])
def test_a_named_session_stays_and_no_token_is_sent(plugin: str) -> None:
    picker = Hermetic(pool_of([(0, 0, ""), (9, 0, "")]), single(plugin, NAMED))
    first, _, answer = ask(picker, x_session_id="alice")
    assert answer == {}
    busy(picker, 9, 0)
    assert ask(picker, x_session_id="bob")[0] == "192.168.1.2:8000"
    assert ask(picker, x_session_id="alice")[0] == first == "192.168.1.1:8000"


def test_prefill_and_decode_have_a_token_each() -> None:
    picker = Hermetic(pool_of([(0, 0, ""), (9, 0, ""), (0, 0, ""), (9, 0, "")], labels=ROLES), two_stages(True))
    decode, prefill, answer = ask(picker)
    assert (decode, prefill) == ("192.168.1.1:8000", "192.168.1.3:8000")
    assert set(answer) == {"x-session-token", "x-session-token-prefill"}
    busy(picker, 9, 0, 9, 0)
    assert ask(picker)[:2] == ("192.168.1.2:8000", "192.168.1.4:8000")
    tokens: Any = {name.replace("-", "_"): value for name, value in answer.items()}
    assert ask(picker, **tokens)[:2] == (decode, prefill)


def test_decode_alone_gives_no_prefill_token() -> None:
    picker = Hermetic(pool_of([(0, 0, ""), (9, 0, ""), (0, 0, ""), (9, 0, "")], labels=ROLES), two_stages(False))
    _, prefill, answer = ask(picker)
    assert prefill == ""
    assert set(answer) == {"x-session-token"}
