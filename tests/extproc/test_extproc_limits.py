"""What an exchange does when a body is more than somebody can take, and when messages come in unusual shapes."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from tests.extproc.one_gateway import BUFFERED, FULL, STREAMED, Gateway, http_headers, request_body

from signalbox.extproc import BodyBudget
from signalbox.pool import Pool


def refusal(answers: list[Any]) -> tuple[int, bytes]:
    (answer,) = answers
    return answer.immediate_response.status.code, answer.immediate_response.body


# ---- a message that the transport does not take


@pytest.mark.parametrize("mode", [BUFFERED, STREAMED, FULL])
def test_a_body_too_long_for_a_message_is_413(pool: Pool, mode: int) -> None:
    gateway = Gateway(pool, mode, STREAMED, max_body=100)
    gateway.headers()
    gateway.exchange.oversized(1_000_000)
    code, body = refusal(gateway.call.take()[-1:])
    assert code == 413
    assert b"larger than the 100 bytes" in body
    assert gateway.call.status == 0


def test_before_the_headers_and_after_the_decision_it_is_left_to_the_transport(pool: Pool) -> None:
    gateway = Gateway(pool, BUFFERED, STREAMED)
    gateway.exchange.oversized(1_000_000)
    gateway.headers()
    gateway.body(request_body("my-model"))
    gateway.exchange.oversized(1_000_000)
    assert (gateway.call.take(), gateway.call.status) == ([], None)
    assert pool.columns.inflight.sum() == 1
    gateway.exchange.cancelled()
    assert pool.columns.inflight.sum() == 0


# ---- bodies that wait for their end


def test_the_longest_unfinished_body_is_refused_when_there_is_no_room(pool: Pool) -> None:
    bodies = BodyBudget(limit=1000)
    long, short = (Gateway(pool, FULL, FULL, bodies=bodies) for _ in range(2))
    for gateway, size in ((long, 700), (short, 301)):
        gateway.headers()
        gateway.exchange.message(
            ext_proc.ProcessingRequest(request_body=ext_proc.HttpBody(body=bytes(size))).SerializeToString()
        )
    code, body = refusal(long.call.take())
    assert code == 503
    assert b"--max-total-buffered-mib" in body
    assert short.call.take() == []
    assert (bodies.held, long.call.status, short.call.status) == (301, 0, None)


@pytest.mark.parametrize("end", ["half_closed", "cancelled", "decided", "refused", "malformed"])
def test_however_an_exchange_ends_its_body_is_given_back(pool: Pool, end: str) -> None:
    bodies = BodyBudget()
    gateway = Gateway(pool, FULL, FULL, bodies=bodies, max_body=1000)
    gateway.headers()
    whole = request_body("my-model")
    gateway.body(whole[:30], end=False)
    assert (bodies.held, len(bodies.holders)) == (30, 1)
    if end == "decided":
        gateway.body(whole[30:])
    elif end == "refused":
        gateway.body(bytes(1000))
    elif end == "malformed":
        gateway.exchange.message(b"\xff")
    else:
        getattr(gateway.exchange, end)()
    assert (bodies.held, len(bodies.holders)) == (0, 0)


# ---- answers that wait for their end

KINDS = {"json": ("application/json", b'{"id": "'), "an event": ("text/event-stream", b"data: {")}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ["half_closed", "cancelled", "complete", "malformed"])
def test_what_is_kept_of_an_answer_is_bounded_charged_and_given_back(pool: Pool, kind: str, end: str) -> None:
    content_type, beginning = KINDS[kind]
    bodies = BodyBudget()
    gateway = Gateway(pool, FULL, FULL, bodies=bodies)
    gateway.headers()
    gateway.body(request_body("my-model"))
    gateway.answer_headers(content_type=content_type)
    gateway.answer_body(beginning, end=False)
    assert bodies.held == len(beginning)
    for _ in range(65):
        gateway.answer_body(b"x" * 60_000, end=False)
        assert 0 < bodies.held <= 256 * 1024
    if end == "complete":
        gateway.answer_body(b"}")
    elif end == "malformed":
        gateway.exchange.message(b"\xff")
    else:
        getattr(gateway.exchange, end)()
    assert bodies.held == 0


@pytest.mark.parametrize("kind", KINDS)
def test_without_room_an_answer_passes_unread(pool: Pool, kind: str) -> None:
    content_type, beginning = KINDS[kind]
    bodies = BodyBudget(limit=1000)
    gateway = Gateway(pool, FULL, FULL, bodies=bodies)
    gateway.headers()
    gateway.body(request_body("my-model"))
    gateway.answer_headers(content_type=content_type)
    gateway.answer_body(beginning + b"x" * 2000, end=False)
    assert bodies.held == 0
    gateway.answer_body(b'"usage": {"prompt_tokens": 1, "completion_tokens": 2}}')
    (completion,) = gateway.completions.ended
    assert (completion.outcome, completion.usage, completion.response_bytes > 2000) == ("complete", None, True)


def test_a_body_that_trailers_end_is_not_held_any_more(pool: Pool) -> None:
    gateway = Gateway(pool, FULL, FULL)
    gateway.headers()
    gateway.body(request_body("my-model"), end=False)
    gateway.say(request_trailers=ext_proc.HttpTrailers())
    assert gateway.exchange._held is None


def test_a_buffered_body_is_never_kept(pool: Pool) -> None:
    bodies = BodyBudget(limit=1)
    gateway = Gateway(pool, BUFFERED, STREAMED, bodies=bodies)
    gateway.headers()
    assert gateway.body(request_body("my-model"))[0].HasField("request_body")


# ---- shapes


@pytest.mark.parametrize("mode", [BUFFERED, STREAMED, FULL])
def test_the_order_of_the_fields_makes_no_difference(pool: Pool, mode: int) -> None:
    heard = []
    for phase_first in (True, False):
        gateway = Gateway(pool, mode, FULL if mode == FULL else STREAMED)
        gateway.phase_first = phase_first
        answers = [
            *gateway.headers(extra={"x-gateway-inference-objective": "o"}, subset="192.168.1.2:8000"),
            *gateway.body(request_body("my-model")),
            *gateway.answer_headers(content_type="text/event-stream"),
            *gateway.answer_body(b"data: {}\n\n", end=False),
            *gateway.answer_body(b'data: {"usage": {"prompt_tokens": 1, "completion_tokens": 2}}\n\n'),
        ]
        (completion,) = gateway.completions.ended
        heard.append((answers, completion.outcome, completion.response_bytes, completion.usage))
    assert heard[0] == heard[1]


def test_headers_in_the_value_field_are_read_like_those_in_raw_value(pool: Pool) -> None:
    gateway = Gateway(pool)
    head = http_headers({":path": "/v1/completions"}, end=False)
    entry = head.headers.headers.add()
    entry.key, entry.value = "X-Gateway-Model-Name-Rewrite", "by-header"
    gateway.say(request_headers=head)
    _, body = gateway.body(request_body("my-model"))
    assert b'"model":"by-header"' in body.request_body.response.body_mutation.streamed_response.body


def test_who_served_may_be_named_in_every_message(pool: Pool) -> None:
    gateway = Gateway(pool)
    gateway.headers()
    gateway.body(request_body("my-model"))
    row = next(endpoint.row for endpoint in pool.endpoints if endpoint.host == "192.168.1.1")
    for piece in (b"a", b"b"):
        message = ext_proc.ProcessingRequest(response_body=ext_proc.HttpBody(body=piece))
        message.metadata_context.filter_metadata["envoy.lb"].update(
            {"x-gateway-destination-endpoint-served": "192.168.1.1:8000"}
        )
        gateway.exchange.message(message.SerializeToString())
        assert pool.columns.inflight[row] == 1
    echoed = [answer.response_body.response.body_mutation.streamed_response.body for answer in gateway.call.take()]
    assert echoed == [b"a", b"b"]
