"""Request headers that speak to the picker, under the names of both references."""

from __future__ import annotations

import pytest
from tests.conftest import Objects
from tests.extproc.one_gateway import Gateway, mutated, request_body

from signalbox.pool import Pool

FAMILIES = ("x-gateway-", "x-llm-d-")


@pytest.fixture
def open_pool(build_pool: object, objects: Objects) -> Pool:
    built: Pool = build_pool(  # type: ignore[operator]
        (0, 0, set()), resources=(objects.objective("high", 7), objects.objective("low", -3))
    )
    return built


@pytest.mark.parametrize("family", FAMILIES)
def test_objective_and_rewrite_are_read_and_taken_off(open_pool: Pool, family: str) -> None:
    gateway = Gateway(open_pool)
    sent = {
        f"{family}inference-objective": "high",
        f"{family}model-name-rewrite": "t",
        f"{family}inference-fairness-id": "f",
    }
    gateway.headers(extra=sent)
    head, _ = gateway.body(request_body("m"))
    (ticket,) = gateway.completions.routes
    assert (ticket.priority, ticket.target, ticket.objective) == (7, "t", "high")
    assert set(head.request_headers.response.header_mutation.remove_headers) == set(sent)
    assert "x-llm-d-inference-objective" not in mutated(head.request_headers.response)


def test_llm_ds_names_count_where_both_are_sent(open_pool: Pool) -> None:
    gateway = Gateway(open_pool)
    objectives = {"x-gateway-inference-objective": "low", "x-llm-d-inference-objective": "high"}
    gateway.headers(extra={**objectives, "x-slo-ttft-ms": "100", "x-llm-d-slo-ttft-ms": "250"})
    gateway.body(request_body("m"))
    (ticket,) = gateway.completions.routes
    assert (ticket.priority, ticket.slo_ttft) == (7, 0.25)


@pytest.mark.parametrize("family", ["x-", "x-llm-d-"])
def test_latency_objectives(open_pool: Pool, family: str) -> None:
    gateway = Gateway(open_pool)
    gateway.headers(extra={f"{family}slo-ttft-ms": "250", f"{family}slo-tpot-ms": "40"})
    head, _ = gateway.body(request_body("m"))
    (ticket,) = gateway.completions.routes
    assert (ticket.slo_ttft, ticket.slo_tpot) == (0.25, 0.04)
    assert not head.request_headers.response.header_mutation.remove_headers
