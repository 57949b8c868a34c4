"""The life of one request."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from signalbox.director import Arrival, Completion, Director, Refused, Routed, Ticket, guide_rules
from signalbox.payloads import Usage
from signalbox.pool import Pool

COMPLETIONS = "/v1/completions"


class Recorder:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.refusals: list[tuple[str, str, str]] = []
        self.tickets: list[Ticket] = []
        self.completions: list[Completion] = []

    def refused(self, model: str, target: str, code: str, now: float) -> None:
        self.refusals.append((model, target, code))

    def routed(self, ticket: Ticket, decision_seconds: float) -> None:
        self.tickets.append(ticket)

    def finished(self, ticket: Ticket, completion: Completion, now: float) -> None:
        self.completions.append(completion)


def direct(pool: Pool, observer: Recorder | None = None) -> Director:
    return Director(pool, guide_rules(), rng=random.Random(1), observer=observer or Recorder())


def body(model: str | None = "food-review", **fields: Any) -> bytes:
    document = {"prompt": "Write as if you were a critic", "max_tokens": 100, **fields}
    return json.dumps(document if model is None else {"model": model, **document}).encode()


def refused(outcome: object) -> tuple[int, dict[str, Any]]:
    assert isinstance(outcome, Refused)
    return outcome.status, json.loads(outcome.body)["error"]


def test_a_routed_request_names_its_endpoints_and_carries_the_target_model(build_pool: Any, objects: Any) -> None:
    pool = build_pool(
        (9, 0.1, set()), (0, 0.1, set()), resources=(objects.model("food-review", (("food-review-1", 100),)),)
    )
    outcome = direct(pool).arrive(Arrival(COMPLETIONS, body()), now=5.0)
    assert isinstance(outcome, Routed)
    assert outcome.destination == "192.168.1.2:8000,192.168.1.1:8000"
    assert outcome.body == body().replace(b'"food-review"', b'"food-review-1"')
    assert outcome.ticket is not None
    assert (outcome.ticket.model, outcome.ticket.target, outcome.ticket.received_at) == (
        "food-review",
        "food-review-1",
        5.0,
    )


def test_a_body_whose_model_does_not_change_is_left_alone(build_pool: Any) -> None:
    outcome = direct(build_pool((0, 0, set()))).arrive(Arrival(COMPLETIONS, body("any-name")), 0.0)
    assert isinstance(outcome, Routed)
    assert outcome.body is None


def test_a_request_is_on_its_endpoints_account_until_it_ends_exactly_once(build_pool: Any) -> None:
    pool = build_pool((0, 0, set()))
    recorder = Recorder()
    director = direct(pool, recorder)
    outcome = director.arrive(Arrival(COMPLETIONS, body()), 0.0)
    assert isinstance(outcome, Routed)
    assert outcome.ticket is not None
    assert pool.columns.inflight.sum() == 1
    assert pool.columns.inflight_tokens.sum() == len("Write as if you were a critic") // 4 + 100
    usage = Usage(7, 10, None)
    director.finish(outcome.ticket, 1.0, outcome="complete", status=200, response_bytes=50, usage=usage)
    director.finish(outcome.ticket, 2.0, outcome="cancelled", status=None)
    assert pool.columns.inflight.sum() == 0
    assert pool.columns.inflight_tokens.sum() == 0
    assert recorder.completions == [Completion("complete", 200, 50, usage)]


def test_an_unknown_model_is_404_and_the_known_ones_are_listed(build_pool: Any, objects: Any) -> None:
    recorder = Recorder()
    pool = build_pool((0, 0, set()), resources=(objects.model("food-review"), objects.model("a-model")))
    status, error = refused(direct(pool, recorder).arrive(Arrival(COMPLETIONS, body("nobody")), 0.0))
    assert status == 404
    assert error == {
        "message": "The model `nobody` does not exist. Known models: a-model, food-review",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }
    assert recorder.refusals == [("nobody", "", "BadConfiguration")]


def test_a_long_list_of_known_models_is_cut(build_pool: Any, objects: Any) -> None:
    pool = build_pool((0, 0, set()), resources=tuple(objects.model(f"m{i:03}") for i in range(60)))
    _, error = refused(direct(pool).arrive(Arrival(COMPLETIONS, body("nobody")), 0.0))
    assert "m049 and 10 more" in error["message"]


@pytest.mark.parametrize(
    ("sent", "param"),
    [(b"no json", None), (b"[1]", None), (body(None), "model"), (b'{"model": 3, "prompt": "x"}', "model")],
)
def test_a_body_that_cannot_be_routed_is_400(build_pool: Any, sent: bytes, param: str | None) -> None:
    recorder = Recorder()
    status, error = refused(direct(build_pool((0, 0, set())), recorder).arrive(Arrival(COMPLETIONS, sent), 0.0))
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert recorder.refusals == [("", "", "BadRequest")]


def test_a_pool_that_is_not_known_or_empty_is_503(objects: Any) -> None:
    pool = Pool("pool")
    recorder = Recorder()
    director = direct(pool, recorder)
    status, error = refused(director.arrive(Arrival(COMPLETIONS, body()), 0.0))
    assert status == 503
    assert "InferencePool default/pool is not known" in error["message"]
    pool.set_pool(objects.pool())
    status, error = refused(director.arrive(Arrival(COMPLETIONS, body()), 0.0))
    assert (status, error["message"]) == (
        503,
        "InferencePool default/pool has no ready endpoint; see that its pods run, match its selector and are Ready",
    )
    assert [code for _, _, code in recorder.refusals] == ["ServiceUnavailable"] * 2


def test_sheddable_work_is_429_with_retry_after_when_nobody_has_capacity(build_pool: Any, objects: Any) -> None:
    recorder = Recorder()
    pool = build_pool(
        (6, 0.2, set()),
        (0, 0.85, set()),
        resources=(objects.model("batch", criticality="Sheddable"), objects.model("std")),
    )
    director = direct(pool, recorder)
    outcome = director.arrive(Arrival(COMPLETIONS, body("batch")), 0.0)
    assert isinstance(outcome, Refused)
    assert (outcome.status, outcome.retry_after) == (429, 1)
    assert recorder.refusals == [("batch", "batch", "InferencePoolResourceExhausted")]
    assert isinstance(director.arrive(Arrival(COMPLETIONS, body("std")), 0.0), Routed)


def test_the_objective_header_decides_what_is_sheddable(build_pool: Any, objects: Any) -> None:
    pool = build_pool((6, 0.9, set()), resources=(objects.objective("batch", -1),))
    director = direct(pool)
    assert isinstance(director.arrive(Arrival(COMPLETIONS, body("m"), objective="batch"), 0.0), Refused)
    assert isinstance(director.arrive(Arrival(COMPLETIONS, body("m"), objective="unknown"), 0.0), Routed)


@pytest.mark.parametrize(
    ("subset", "expected"),
    [
        (("192.168.1.3:8000",), "192.168.1.3:8000"),
        (("192.168.1.1", "192.168.1.3:8000"), "192.168.1.1:8000,192.168.1.3:8000"),
    ],
)
def test_the_proxys_subset_is_honoured(build_pool: Any, subset: tuple[str, ...], expected: str) -> None:
    pool = build_pool((0, 0.2, set()), (0, 0.1, set()), (10, 0.2, set()))
    outcome = direct(pool).arrive(Arrival(COMPLETIONS, body(), subset=subset), 0.0)
    assert isinstance(outcome, Routed)
    assert outcome.destination == expected


@pytest.mark.parametrize("subset", [(), ("192.168.1.99:8000",)])
def test_a_subset_without_a_ready_endpoint_is_503(build_pool: Any, subset: tuple[str, ...]) -> None:
    outcome = direct(build_pool((0, 0, set()))).arrive(Arrival(COMPLETIONS, body(), subset=subset), 0.0)
    status, error = refused(outcome)
    assert status == 503
    assert "none of the endpoints the proxy allows" in error["message"]


def test_a_request_without_a_body_goes_to_any_ready_endpoint_and_is_not_counted(build_pool: Any) -> None:
    pool = build_pool((0, 0, set()))
    outcome = direct(pool).arrive(Arrival("/v1/models", None), 0.0)
    assert outcome == Routed("192.168.1.1:8000", None, None)
    assert pool.columns.inflight.sum() == 0


def test_a_request_without_a_body_needs_a_ready_endpoint(objects: Any) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool())
    recorder = Recorder()
    assert refused(direct(pool, recorder).arrive(Arrival("/v1/models", None), 0.0))[0] == 503
    assert recorder.refusals == [("", "", "ServiceUnavailable")]


def test_the_account_moves_to_the_fallback_that_served(build_pool: Any) -> None:
    pool = build_pool((0, 0, set()), (5, 0, set()))
    director = direct(pool)
    outcome = director.arrive(Arrival(COMPLETIONS, body()), 0.0)
    assert isinstance(outcome, Routed)
    assert outcome.ticket is not None
    director.served(outcome.ticket, "192.168.1.2:8000")
    director.served(outcome.ticket, "10.9.9.9:1")
    first, second = pool.endpoints
    assert (pool.columns.inflight[first.row], pool.columns.inflight[second.row]) == (0, 1)
    director.finish(outcome.ticket, 1.0, outcome="complete", status=200)
    assert pool.columns.inflight.sum() == 0


def test_the_first_byte_is_the_first_one(build_pool: Any) -> None:
    director = direct(build_pool((0, 0, set())))
    outcome = director.arrive(Arrival(COMPLETIONS, body()), 0.0)
    assert isinstance(outcome, Routed)
    assert outcome.ticket is not None
    director.first_byte(outcome.ticket, 1.5)
    director.first_byte(outcome.ticket, 2.5)
    assert outcome.ticket.first_byte_at == 1.5


def test_a_canary_of_ninety_to_ten_is_exact(build_pool: Any, objects: Any) -> None:
    pool = build_pool((0, 0, set()), resources=(objects.model("m", (("m-1", 90), ("m-2", 10))),))
    recorder = Recorder()
    director = direct(pool, recorder)
    for _ in range(1000):
        outcome = director.arrive(Arrival(COMPLETIONS, body("m")), 0.0)
        assert isinstance(outcome, Routed)
        assert outcome.ticket is not None
        director.finish(outcome.ticket, 0.1, outcome="complete", status=200)
    assert sum(ticket.target == "m-1" for ticket in recorder.tickets) == 900


def test_a_ticket_carries_the_objectives_and_the_rewrite_that_chose(build_pool: Any, objects: Any) -> None:
    pool = build_pool((0, 0, set()), resources=(objects.rewrite("canary", (("m",), (("m-2", 1),))),))
    outcome = direct(pool).arrive(Arrival(COMPLETIONS, body("m"), slo_ttft=0.2, slo_tpot=0.05), 0.0)
    assert isinstance(outcome, Routed)
    assert outcome.ticket is not None
    assert (outcome.ticket.rewrite, outcome.ticket.slo_ttft, outcome.ticket.slo_tpot) == ("canary", 0.2, 0.05)
