"""An exchange whose request waits for its turn: in every body mode it goes on where it stopped, and ends without a
trace."""

from __future__ import annotations

import json
from typing import Any

import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from tests.conftest import BuildPool, Objects
from tests.extproc.one_gateway import (
    BUFFERED,
    BUFFERED_PARTIAL,
    FULL,
    NONE,
    STREAMED,
    Gateway,
    in_metadata,
    mutated,
    request_body,
)
from tests.extproc.one_room import FLOW, HandRoom

from signalbox.director import policy_rules
from signalbox.extproc import BodyBudget
from signalbox.extproc.suspended import MOST_LATE
from signalbox.pool import Pool
from signalbox.scheduling import load_policy


@pytest.fixture
def one(build_pool: BuildPool) -> Pool:
    """A pool of one endpoint, which takes one request at a time."""
    return build_pool((0, 0, set()))


class Crowd:
    """Exchanges of one pool that share a director, a room and a budget for bodies."""

    def __init__(self, pool: Pool, limit: int = 1024 * 1024) -> None:
        self.pool = pool
        self.room = HandRoom()
        self.bodies = BodyBudget(limit=limit)
        self.first = self.gateway()
        self.director = self.room.director = self.first.director
        self.director.rules = policy_rules(load_policy(FLOW, name="flow.yaml"), pool)

    def gateway(self, mode: int = FULL) -> Gateway:
        gateway = Gateway(self.pool, mode, STREAMED, room=self.room, bodies=self.bodies, max_body=100_000)
        if self.room.director is not None:
            gateway.exchange._director = gateway.director = self.room.director
        return gateway

    def fill(self) -> None:
        """Take the endpoint's only place."""
        self.first.headers()
        assert self.first.body(request_body("m"))

    def finish_first(self) -> None:
        self.first.answer_headers()
        self.first.answer_body(b"{}")

    @property
    def nothing_left(self) -> bool:
        return (
            not self.room.inside
            and self.director.waiting == 0
            and self.bodies.held == 0
            and not self.bodies.holders
            and self.pool.columns.inflight.sum() == 0
        )


BODY = request_body("m", "later")


def waits(crowd: Crowd, mode: int, body: bytes = BODY) -> Gateway:
    gateway = crowd.gateway(mode)
    extra = {"content-length": str(len(body))}
    gateway.headers(extra=extra)
    assert gateway.body(body) == []
    assert crowd.director.waiting == len(crowd.room.inside)
    return gateway


# ---- its turn comes


@pytest.mark.parametrize("mode", [FULL, BUFFERED, BUFFERED_PARTIAL, STREAMED])
def test_a_request_goes_on_where_it_stopped(one: Pool, mode: int) -> None:
    crowd = Crowd(one)
    crowd.fill()
    gateway = waits(crowd, mode)
    assert crowd.bodies.held == len(BODY)
    assert crowd.room.look() == []
    crowd.finish_first()
    assert len(crowd.room.look()) == 1
    first, *rest = gateway.call.take()
    assert in_metadata(first) == "192.168.1.1:8000"
    if mode == FULL:
        assert mutated(first.request_headers.response)["content-length"] == str(len(BODY))
        assert [part.request_body.response.body_mutation.streamed_response.body for part in rest] == [BODY]
    else:
        assert mutated(first.request_body.response)["x-gateway-destination-endpoint"] == "192.168.1.1:8000"
        assert rest == []
    assert crowd.bodies.held == 0
    gateway.answer_headers()
    gateway.answer_body(b"{}")
    assert crowd.nothing_left
    assert crowd.room.frees >= 2


def test_a_request_whose_body_is_not_shown_waits_for_the_first_endpoint(
    build_pool: BuildPool, objects: Objects
) -> None:
    pool = build_pool()
    crowd = Crowd(pool)
    gateway = crowd.gateway(NONE)
    assert gateway.headers() == []
    assert crowd.room.look() == []
    pool.put(objects.pod("pod-0", "192.168.1.1"))
    crowd.room.look()
    (answer,) = gateway.call.take()
    assert in_metadata(answer) == "192.168.1.1:8000"
    assert answer.WhichOneof("response") == "request_headers"
    assert crowd.nothing_left


def test_trailers_are_answered_behind_the_request(one: Pool) -> None:
    crowd = Crowd(one)
    crowd.fill()
    gateway = crowd.gateway(FULL)
    gateway.headers()
    gateway.body(BODY, end=False)
    assert gateway.say(request_trailers=ext_proc.HttpTrailers()) == []
    crowd.finish_first()
    crowd.room.look()
    kinds = [answer.WhichOneof("response") for answer in gateway.call.take()]
    assert kinds == ["request_headers", "request_body", "request_trailers"]


def test_a_gateway_that_talks_on_and_on_behind_a_request_that_waits_is_cut_off(one: Pool) -> None:
    crowd = Crowd(one)
    crowd.fill()
    gateway = waits(crowd, BUFFERED)
    for _ in range(MOST_LATE):
        assert gateway.body(b"x") == []
    assert gateway.call.status is None
    gateway.body(b"x")
    assert gateway.call.status == 3
    assert crowd.director.waiting == 0
    assert crowd.bodies.held == 0


# ---- its turn does not come


@pytest.mark.parametrize("mode", [FULL, BUFFERED, BUFFERED_PARTIAL, STREAMED])
def test_a_request_whose_time_runs_out_is_refused_with_the_reason(one: Pool, mode: int) -> None:
    crowd = Crowd(one)
    crowd.fill()
    gateway = waits(crowd, mode)
    crowd.room.look(11.0)
    (answer,) = gateway.call.take()
    said = mutated_of(answer)
    assert answer.immediate_response.status.code == 429
    assert (said["x-llm-d-request-dropped-reason"], said["retry-after"]) == ("rejected-ttl-expired", "1")
    error = json.loads(answer.immediate_response.body)["error"]
    assert error["code"] == "queue_timeout"
    assert "defaultRequestTTL" in error["message"]
    assert gateway.call.status == 0
    crowd.finish_first()
    assert crowd.nothing_left


@pytest.mark.parametrize("mode", [FULL, BUFFERED, BUFFERED_PARTIAL, STREAMED])
@pytest.mark.parametrize("end", ["half_closed", "cancelled"])
def test_a_client_that_leaves_frees_its_place_at_once(one: Pool, mode: int, end: str) -> None:
    crowd = Crowd(one)
    crowd.fill()
    gateway = waits(crowd, mode)
    getattr(gateway.exchange, end)()
    assert (crowd.director.waiting, crowd.room.left, crowd.bodies.held) == (0, 1, 0)
    crowd.finish_first()
    assert crowd.room.look() == []
    assert crowd.nothing_left


def test_an_answer_that_envoy_gives_by_itself_ends_the_wait(one: Pool) -> None:
    crowd = Crowd(one)
    crowd.fill()
    gateway = waits(crowd, BUFFERED)
    (answer,) = gateway.answer_headers("504")
    assert answer.WhichOneof("response") == "response_headers"
    assert crowd.director.waiting == 0
    crowd.finish_first()
    assert crowd.room.look() == []
    assert crowd.nothing_left


def test_what_is_sent_in_a_message_that_is_none_ends_the_wait(one: Pool) -> None:
    crowd = Crowd(one)
    crowd.fill()
    gateway = waits(crowd, FULL)
    gateway.exchange.message(b"\xff")
    assert (gateway.call.status, crowd.director.waiting) == (3, 0)


def test_the_longest_body_is_refused_where_those_that_wait_take_too_much_together(one: Pool) -> None:
    crowd = Crowd(one, limit=2000)
    crowd.fill()
    long = waits(crowd, FULL, request_body("m", "x" * 1200))
    short = waits(crowd, FULL, request_body("m", "x" * 800))
    (answer,) = long.call.take()
    assert answer.immediate_response.status.code == 503
    assert b"--max-total-buffered-mib" in answer.immediate_response.body
    assert short.call.status is None
    assert crowd.director.waiting == 1
    assert crowd.bodies.held < 2000


def test_a_request_that_is_itself_too_long_to_wait_is_refused(one: Pool) -> None:
    crowd = Crowd(one, limit=500)
    crowd.fill()
    gateway = crowd.gateway(BUFFERED)
    gateway.headers()
    (answer,) = gateway.body(request_body("m", "x" * 800))
    assert answer.immediate_response.status.code == 503
    assert (crowd.director.waiting, crowd.bodies.held, crowd.bodies.holders) == (0, 0, {})


def test_an_oversized_message_behind_a_request_that_waits_is_left_to_the_transport(one: Pool) -> None:
    crowd = Crowd(one)
    crowd.fill()
    gateway = waits(crowd, BUFFERED)
    gateway.exchange.oversized(1_000_000)
    assert (gateway.call.take(), gateway.call.status) == ([], None)
    gateway.exchange.cancelled()
    assert crowd.director.waiting == 0


def test_without_a_room_nobody_can_wait(one: Pool) -> None:
    gateway = Gateway(one, FULL, FULL)
    gateway.director.rules = policy_rules(load_policy(FLOW, name="flow.yaml"), one)
    gateway.headers()
    gateway.body(BODY)
    other = Gateway(one, FULL, FULL)
    other.exchange._director = gateway.director
    other.headers()
    with pytest.raises(RuntimeError, match=r"Terms\.room"):
        other.body(BODY)


# ---- who asks


def test_fairness_ids_come_from_either_header(one: Pool) -> None:
    crowd = Crowd(one)
    crowd.fill()
    for extra in (
        {"x-gateway-inference-fairness-id": "b"},
        {"x-llm-d-inference-fairness-id": "a", "x-gateway-inference-fairness-id": "b"},
        {},
    ):
        gateway = crowd.gateway(FULL)
        gateway.headers(extra=extra)
        gateway.body(BODY)
    assert [waiting.wait.flow.fairness_id for waiting in crowd.room.inside] == ["b", "a", ""]


def mutated_of(answer: Any) -> dict[str, str]:
    options = answer.immediate_response.headers.set_headers
    return {option.header.key: option.header.raw_value.decode() for option in options}
