"""The reference's predicted-latency-slo configuration, word for word, message by message."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conftest import Objects
from tests.extproc.one_gateway import FULL, Gateway, mutated, request_body
from tests.scheduling.test_scheduling_canonical import PREDICTED

from signalbox.director import Director, policy_rules
from signalbox.extproc import Exchange, Terms
from signalbox.pool import Pool
from signalbox.scheduling import load_policy

STREAM = b'data: {"choices":[{"text":"x"}]}\n\n'
LAST = b'data: {"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":11,"total_tokens":15}}\n\ndata: [DONE]\n\n'


class Served:
    """A picker with that configuration; one exchange after the other, on one clock."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.now = 0.0
        gateway = Gateway(pool)
        self.director: Director = gateway.director
        self.director.rules = policy_rules(load_policy(PREDICTED, name="predicted-latency-slo.yaml"), pool)
        self.completions = gateway.completions

    def gateway(self) -> Gateway:
        gateway = Gateway(self.pool, FULL, FULL)
        gateway.director, gateway.completions = self.director, self.completions
        gateway.exchange = Exchange(gateway.call, self.director, lambda: self.now, Terms())
        return gateway

    def request(self, model: str = "my-model", **headers: str) -> tuple[Gateway, Any]:
        gateway = self.gateway()
        gateway.headers(extra=headers)
        body = request_body(model).replace(b'"prompt"', b'"stream":true,"prompt"')
        return gateway, gateway.body(body)

    def whole(self, first_token: float, pace: float) -> str:
        """A streamed answer of eleven tokens; return where it went."""
        gateway, (headers, _) = self.request()
        chosen = mutated(headers.request_headers.response)["x-gateway-destination-endpoint"].split(",")[0]
        gateway.answer_headers(content_type="text/event-stream")
        self.now += first_token
        gateway.answer_body(STREAM, end=False)
        self.now += 10 * pace
        gateway.answer_body(LAST)
        self.now += 60.0
        return chosen


@pytest.fixture
def served(build_pool: Any, objects: Objects) -> Served:
    resources = (objects.model("my-model", criticality="Critical"), objects.model("batch", criticality="Sheddable"))
    return Served(build_pool((0, 0.3, set()), (0, 0.3, set()), resources=resources))


def test_it_routes_before_anything_was_learned_and_learns(served: Served) -> None:
    for _ in range(25):
        assert served.whole(0.2, 0.01).startswith("192.168.1.")
    tickets = served.completions.routes
    assert [ticket.predicted is not None for ticket in tickets] == [False] * 20 + [True] * 5
    last = tickets[-1].predicted
    assert last is not None
    assert last.ttft == pytest.approx(0.2, rel=0.05)
    assert last.tpot == pytest.approx(0.01, rel=0.05)
    policy = served.director.rules.policy
    assert policy is not None
    assert not policy.faults


def test_sheddable_work_that_would_come_too_late_is_refused(served: Served) -> None:
    for _ in range(25):
        served.whole(0.2, 0.01)
    for endpoint in served.pool.endpoints:
        served.pool.columns.running[endpoint.row] = 5
    _, (in_time, _) = served.request("batch", **{"x-slo-ttft-ms": "900"})
    assert in_time.HasField("request_headers")
    _, (late,) = served.request("batch", **{"x-slo-ttft-ms": "50"})
    refusal = late.immediate_response
    sent = {option.header.key: option.header.raw_value for option in refusal.headers.set_headers}
    assert refusal.status.code == 429
    assert sent["retry-after"] == b"1"
    assert sent["x-llm-d-request-dropped-reason"] == b"rejected-saturated"
    assert b"none of 2 endpoints is expected to answer in time" in refusal.body
    assert b"latency-slo-admitter" in refusal.body


def test_what_only_the_picker_may_name_as_a_source_of_kv_blocks_is_taken_off(served: Served) -> None:
    _, (headers, _) = served.request(**{"x-kv-cache-source-host-port": "10.9.9.9:80"})
    assert list(headers.request_headers.response.header_mutation.remove_headers) == ["x-kv-cache-source-host-port"]
