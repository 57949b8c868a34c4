"""The conversation with a gateway, in each of its body modes, message by message."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import Objects
from tests.extproc.one_gateway import (
    BUFFERED,
    BUFFERED_PARTIAL,
    FULL,
    NONE,
    STREAMED,
    Gateway,
    http_headers,
    in_metadata,
    mutated,
    request_body,
)

from signalbox.director import policy_rules
from signalbox.pool import Pool
from signalbox.scheduling import load_policy


class TestFullDuplex:
    """What gateways in clusters use."""

    def test_the_headers_are_answered_once_the_body_is_complete(self, pool: Pool) -> None:
        gateway = Gateway(pool)
        assert gateway.headers() == []
        headers, body = gateway.body(request_body("my-model", "test1"))
        common = headers.request_headers.response
        assert mutated(common)["x-gateway-destination-endpoint"].startswith("192.168.1.2:8000,")
        assert mutated(common)["content-length"] == "76"
        assert common.clear_route_cache
        assert in_metadata(headers) == mutated(common)["x-gateway-destination-endpoint"]
        streamed = body.request_body.response.body_mutation.streamed_response
        assert streamed.body == request_body("my-model-12345", "test1")
        assert streamed.end_of_stream

    def test_a_body_in_two_messages_and_a_model_that_is_its_own_target(self, pool: Pool) -> None:
        gateway = Gateway(pool)
        gateway.headers()
        sent = request_body("direct-model", "test6")
        assert gateway.body(sent[:30], end=False) == []
        headers, body = gateway.body(sent[30:])
        assert mutated(headers.request_headers.response)["content-length"] == "74"
        assert body.request_body.response.body_mutation.streamed_response.body == sent

    def test_a_body_that_ends_with_an_empty_message(self, pool: Pool) -> None:
        gateway = Gateway(pool)
        gateway.headers()
        gateway.body(request_body("my-model"), end=False)
        _, body = gateway.body(b"")
        assert body.request_body.response.body_mutation.streamed_response.end_of_stream

    def test_a_body_that_ends_with_trailers(self, pool: Pool) -> None:
        gateway = Gateway(pool)
        gateway.headers()
        gateway.body(request_body("my-model"), end=False)
        headers, body, trailers = gateway.say(request_trailers=ext_proc.HttpTrailers())
        assert headers.WhichOneof("response") == "request_headers"
        assert not body.request_body.response.body_mutation.streamed_response.end_of_stream
        assert trailers.WhichOneof("response") == "request_trailers"

    def test_a_large_body_goes_back_in_chunks(self, pool: Pool) -> None:
        gateway = Gateway(pool)
        gateway.headers()
        headers, *chunks = gateway.body(request_body("my-model", "x" * 200_000))
        pieces = [chunk.request_body.response.body_mutation.streamed_response for chunk in chunks]
        assert b"".join(piece.body for piece in pieces) == request_body("my-model-12345", "x" * 200_000)
        assert mutated(headers.request_headers.response)["content-length"] == str(sum(len(p.body) for p in pieces))
        assert [piece.end_of_stream for piece in pieces] == [False, False, False, True]

    def test_a_json_answer_is_echoed_and_its_usage_read(self, pool: Pool) -> None:
        gateway = Gateway(pool)
        gateway.headers()
        gateway.body(request_body("my-model"))
        (answer,) = gateway.answer_headers()
        assert answer.WhichOneof("response") == "response_headers"
        sent = b'{"usage": {"prompt_tokens": 11, "completion_tokens": 100, "total_tokens": 111}}'
        (first,) = gateway.answer_body(sent[:20], end=False)
        (second,) = gateway.answer_body(sent[20:])
        echoed = [m.response_body.response.body_mutation.streamed_response for m in (first, second)]
        assert [(piece.body, piece.end_of_stream) for piece in echoed] == [(sent[:20], False), (sent[20:], True)]
        (completion,) = gateway.completions.ended
        assert (completion.outcome, completion.status, completion.response_bytes) == ("complete", 200, len(sent))
        assert completion.usage is not None
        assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (11, 100)

    def test_a_streamed_answer_passes_chunk_by_chunk(self, pool: Pool) -> None:
        gateway = Gateway(pool)
        gateway.headers()
        gateway.body(request_body("my-model"))
        gateway.answer_headers(content_type="text/event-stream")
        chunks = [
            b'data: {"choices": [{"text": "a"}]}\n\n',
            b'data: {"choices": [], "usage": {"prompt_tokens": 7, "total_tokens": 17, "completion_tokens": 10}}\n\n',
            b"data: [DONE]\n\n",
            b"",
        ]
        for index, chunk in enumerate(chunks):
            (echo,) = gateway.answer_body(chunk, end=index == 3)
            streamed = echo.response_body.response.body_mutation.streamed_response
            assert (streamed.body, streamed.end_of_stream) == (chunk, index == 3)
        (completion,) = gateway.completions.ended
        assert completion.usage is not None
        assert completion.usage.completion_tokens == 10

    def test_an_answer_with_trailers(self, pool: Pool) -> None:
        gateway = Gateway(pool)
        gateway.headers()
        gateway.body(request_body("my-model"))
        gateway.answer_headers()
        gateway.answer_body(b"{}", end=False)
        (answer,) = gateway.say(response_trailers=ext_proc.HttpTrailers())
        assert answer.WhichOneof("response") == "response_trailers"
        assert [c.outcome for c in gateway.completions.ended] == ["complete"]

    def test_it_is_the_default_of_a_gateway_that_names_no_mode(self, pool: Pool) -> None:
        gateway = Gateway(pool, announce=False)
        assert gateway.headers() == []
        assert len(gateway.body(request_body("my-model"))) == 2


class TestBuffered:
    """What our own Envoy uses."""

    def test_the_headers_are_answered_first_and_the_body_carries_the_choice(self, pool: Pool) -> None:
        gateway = Gateway(pool, BUFFERED, STREAMED)
        (headers,) = gateway.headers()
        assert not headers.request_headers.HasField("response")
        (body,) = gateway.body(request_body("my-model", "test1"))
        common = body.request_body.response
        assert mutated(common)["x-gateway-destination-endpoint"] == in_metadata(body)
        assert mutated(common)["content-length"] == "76"
        assert common.body_mutation.body == request_body("my-model-12345", "test1")

    def test_an_unchanged_body_is_not_sent_back(self, pool: Pool) -> None:
        gateway = Gateway(pool, BUFFERED, STREAMED)
        gateway.headers()
        (body,) = gateway.body(request_body("direct-model"))
        assert not body.request_body.response.HasField("body_mutation")
        assert "content-length" not in mutated(body.request_body.response)

    def test_answer_chunks_are_waved_through(self, pool: Pool) -> None:
        gateway = Gateway(pool, BUFFERED, STREAMED)
        gateway.headers()
        gateway.body(request_body("my-model"))
        gateway.answer_headers()
        (answer,) = gateway.answer_body(b'{"usage": {"prompt_tokens": 1, "completion_tokens": 2}}')
        assert answer.WhichOneof("response") == "response_body"
        assert not answer.response_body.HasField("response")
        assert gateway.completions.ended[0].usage is not None

    def test_it_can_be_the_default(self, pool: Pool) -> None:
        gateway = Gateway(pool, announce=False, request_body_mode=BUFFERED, response_body_mode=STREAMED)
        assert len(gateway.headers()) == 1


def test_a_gateway_that_streams_bodies_is_asked_to_buffer(pool: Pool) -> None:
    gateway = Gateway(pool, STREAMED, STREAMED)
    (headers,) = gateway.headers()
    assert headers.mode_override.request_body_mode == BUFFERED_PARTIAL
    assert headers.mode_override.response_body_mode == STREAMED
    (body,) = gateway.body(request_body("my-model"))
    assert in_metadata(body).startswith("192.168.1.2:8000")


@pytest.mark.parametrize("mode", [BUFFERED, BUFFERED_PARTIAL, STREAMED])
def test_a_body_that_trailers_follow_is_whole_where_its_length_or_the_mode_says_so(pool: Pool, mode: int) -> None:
    gateway = Gateway(pool, mode, STREAMED)
    whole = request_body("my-model")
    gateway.headers(extra={} if mode == BUFFERED else {"content-length": str(len(whole))})
    (body,) = gateway.body(whole, end=False)
    assert in_metadata(body).startswith("192.168.1.2:8000")
    (trailers,) = gateway.say(request_trailers=ext_proc.HttpTrailers())
    assert trailers.WhichOneof("response") == "request_trailers"


@pytest.mark.parametrize("announced", ["", "1", "100000", "9" * 20, "-1"])
@pytest.mark.parametrize("mode", [BUFFERED_PARTIAL, STREAMED])
def test_a_beginning_is_not_taken_for_a_body_because_it_is_json(pool: Pool, mode: int, announced: str) -> None:
    gateway = Gateway(pool, mode, STREAMED)
    first = gateway.headers(extra={"content-length": announced} if announced else {})
    answers = first if len(announced) == 20 else gateway.body(request_body("my-model") + b" " * 1000, end=False)
    assert answers[-1].immediate_response.status.code == 413
    assert pool.columns.inflight.sum() == 0


@pytest.mark.parametrize("mode", [BUFFERED_PARTIAL, STREAMED])
def test_a_body_of_which_the_gateway_shows_only_a_part_is_refused(pool: Pool, mode: int) -> None:
    gateway = Gateway(pool, mode, STREAMED)
    gateway.headers()
    (answer,) = gateway.body(request_body("my-model")[:30], end=False)
    assert answer.immediate_response.status.code == 413
    assert b"only the first 30 bytes" in answer.immediate_response.body
    assert gateway.call.status == 0
    assert pool.columns.inflight.sum() == 0


@pytest.mark.parametrize("mode", [BUFFERED, STREAMED, FULL])
def test_a_gateway_that_does_not_show_the_request_headers_is_told_so(pool: Pool, mode: int) -> None:
    gateway = Gateway(pool, mode, STREAMED)
    (answer,) = gateway.body(request_body("my-model"))
    assert answer.immediate_response.status.code == 500
    assert b"set request_header_mode SEND" in answer.immediate_response.body
    assert pool.columns.inflight.sum() == 0


@pytest.mark.parametrize("end", ["half_closed", "cancelled"])
def test_without_response_bodies_the_end_after_the_headers_is_a_complete_answer(pool: Pool, end: str) -> None:
    gateway = Gateway(pool, BUFFERED, NONE)
    gateway.headers()
    gateway.body(request_body("my-model"))
    gateway.answer_headers()
    getattr(gateway.exchange, end)()
    assert [(c.outcome, c.status) for c in gateway.completions.ended] == [("complete", 200)]


@pytest.mark.parametrize("mode", [FULL, BUFFERED])
def test_a_request_without_a_body_goes_to_a_ready_endpoint(pool: Pool, mode: int) -> None:
    (answer,) = Gateway(pool, mode).headers(end=True)
    assert mutated(answer.request_headers.response)["x-gateway-destination-endpoint"].startswith("192.168.1.")
    assert "content-length" not in mutated(answer.request_headers.response)


@pytest.mark.parametrize("mode", [FULL, BUFFERED])
@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"no json", 400), (b'{"prompt": "x"}', 400), (request_body("nobody"), 404)],
)
def test_a_request_that_cannot_be_routed_is_answered_at_once(pool: Pool, mode: int, sent: bytes, status: int) -> None:
    gateway = Gateway(pool, mode)
    gateway.headers()
    (answer,) = gateway.body(sent)
    immediate = answer.immediate_response
    assert immediate.status.code == status
    assert json.loads(immediate.body)["error"]["message"]
    sent_headers = {option.header.key: option.header.raw_value for option in immediate.headers.set_headers}
    assert sent_headers == {"content-type": b"application/json"}


def test_shed_work_is_told_when_to_come_back(build_pool: Any, objects: Objects) -> None:
    pool = build_pool((9, 0.9, set()), resources=(objects.model("batch", criticality="Sheddable"),))
    gateway = Gateway(pool, BUFFERED, STREAMED)
    gateway.headers()
    (answer,) = gateway.body(request_body("batch"))
    sent = {option.header.key: option.header.raw_value for option in answer.immediate_response.headers.set_headers}
    assert answer.immediate_response.status.code == 429
    assert sent["retry-after"] == b"1"


def test_a_body_over_the_limit_is_413_and_its_bytes_are_dropped(pool: Pool) -> None:
    gateway = Gateway(pool, max_body=100)
    gateway.headers()
    assert gateway.body(b"x" * 100, end=False) == []
    (answer,) = gateway.body(b"x", end=False)
    assert answer.immediate_response.status.code == 413
    assert gateway.body(b"y" * 1000) == []
    assert pool.columns.inflight.sum() == 0


@pytest.mark.parametrize("mode", [BUFFERED, BUFFERED_PARTIAL, STREAMED, FULL])
def test_a_body_that_is_announced_over_the_limit_is_not_waited_for(pool: Pool, mode: int) -> None:
    gateway = Gateway(pool, mode, STREAMED, max_body=100)
    (answer,) = gateway.headers(extra={"content-length": "101"})
    assert answer.immediate_response.status.code == 413
    assert gateway.call.status == 0
    within = Gateway(pool, mode, STREAMED, max_body=100)
    within.headers(extra={"content-length": "100"})
    assert within.call.status is None


@pytest.mark.parametrize("subset", [["192.168.1.3:8000"], "192.168.1.3:8000", ["192.168.1.99", "192.168.1.3:8000, "]])
def test_the_subset_hint_as_list_or_string(pool: Pool, subset: list[str] | str) -> None:
    gateway = Gateway(pool)
    gateway.headers(subset=subset)
    headers, _ = gateway.body(request_body("my-model"))
    assert in_metadata(headers) == "192.168.1.3:8000"


def test_a_subset_that_names_nobody_is_503(pool: Pool) -> None:
    gateway = Gateway(pool)
    gateway.headers(subset=[])
    (answer,) = gateway.body(request_body("my-model"))
    assert answer.immediate_response.status.code == 503


def test_headers_that_speak_to_the_picker_do_not_reach_the_server(pool: Pool) -> None:
    gateway = Gateway(pool)
    gateway.headers(extra={"X-Gateway-Inference-Objective": "x", "x-gateway-model-name-rewrite": "by-header"})
    headers, body = gateway.body(request_body("my-model"))
    assert set(headers.request_headers.response.header_mutation.remove_headers) == {
        "x-gateway-inference-objective",
        "x-gateway-model-name-rewrite",
    }
    assert b'"model":"by-header"' in body.request_body.response.body_mutation.streamed_response.body


@pytest.mark.parametrize(
    ("sent", "expected"), [("250", 0.25), ("1.5", 0.0015), ("0", None), ("-5", None), ("soon", None), ("inf", None)]
)
def test_latency_objectives_are_read_and_reach_the_server(pool: Pool, sent: str, expected: float | None) -> None:
    gateway = Gateway(pool)
    gateway.headers(extra={"x-slo-ttft-ms": sent, "x-slo-tpot-ms": "40"})
    headers, _ = gateway.body(request_body("my-model"))
    assert not headers.request_headers.response.header_mutation.remove_headers
    (ticket,) = gateway.completions.routes
    assert (ticket.slo_ttft, ticket.slo_tpot) == (expected, 0.04)


def test_the_endpoint_that_served_gets_the_account(pool: Pool) -> None:
    gateway = Gateway(pool)
    gateway.headers()
    gateway.body(request_body("my-model"))
    message = ext_proc.ProcessingRequest(response_headers=http_headers({":status": "200"}, False))
    message.metadata_context.filter_metadata["envoy.lb"].update(
        {"x-gateway-destination-endpoint-served": "192.168.1.1:8000"}
    )
    gateway.exchange.message(message.SerializeToString())
    row = next(e.row for e in pool.endpoints if e.host == "192.168.1.1")
    assert pool.columns.inflight[row] == 1


@pytest.mark.parametrize("end", ["half_closed", "cancelled"])
@pytest.mark.parametrize("reached", ["nothing", "headers", "routed", "answering", "answered"])
def test_however_a_stream_ends_nothing_stays_in_flight(pool: Pool, end: str, reached: str) -> None:
    gateway = Gateway(pool)
    steps = ["nothing", "headers", "routed", "answering", "answered"].index(reached)
    if steps >= 1:
        gateway.headers()
    if steps >= 2:
        gateway.body(request_body("my-model"))
        assert pool.columns.inflight.sum() == 1
    if steps >= 3:
        gateway.answer_headers()
        gateway.answer_body(b"{", end=False)
    if steps >= 4:
        gateway.answer_body(b"}")
    getattr(gateway.exchange, end)()
    assert pool.columns.inflight.sum() == 0
    outcomes = [c.outcome for c in gateway.completions.ended]
    assert outcomes == ([] if steps < 2 else ["complete"] if steps == 4 else ["cancelled"])


@pytest.mark.parametrize("status", ["500", "503"])
def test_a_server_error_is_counted_as_one(pool: Pool, status: str) -> None:
    gateway = Gateway(pool)
    gateway.headers()
    gateway.body(request_body("my-model"))
    gateway.answer_headers(status, end=True)
    assert [(c.outcome, c.status) for c in gateway.completions.ended] == [("server_error", int(status))]


@given(st.binary(max_size=200))
def test_bytes_that_are_no_message_end_the_stream_and_nothing_else(data: bytes) -> None:
    pool = Pool("pool")
    pool.set_pool(Objects().pool())
    gateway = Gateway(pool)
    gateway.exchange.message(data)
    assert gateway.call.status in (None, 3)
    assert pool.columns.inflight.sum() == 0


@pytest.mark.parametrize(("number", "named"), [(0, "the choice"), (1, "the fallback")])
def test_the_session_token_in_the_answer_names_who_served(pool: Pool, number: int, named: str) -> None:
    gateway = Gateway(pool)
    text = (
        "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
        "plugins: [{type: session-affinity-scorer}, {type: queue-scorer}]"
    )
    gateway.director.rules = policy_rules(load_policy(text, name="t.yaml"), pool)
    gateway.headers()
    headers, _ = gateway.body(request_body("my-model"))
    address = mutated(headers.request_headers.response)["x-gateway-destination-endpoint"].split(",")[number]
    message = ext_proc.ProcessingRequest(response_headers=http_headers({":status": "200"}, False))
    message.metadata_context.filter_metadata["envoy.lb"].update({"x-gateway-destination-endpoint-served": address})
    gateway.exchange.message(message.SerializeToString())
    (answer,) = gateway.call.take()
    token = mutated(answer.response_headers.response)["x-session-token"]
    (endpoint,) = [endpoint for endpoint in pool.endpoints if endpoint.address == address]
    assert base64.b64decode(token).decode() == f"default/{endpoint.name}", named


@pytest.mark.parametrize(
    ("status", "content_type", "body", "outcome"),
    [
        ("200", "text/event-stream", b'data: {"error": {"message": "out of memory"}}\n\n', "server_error"),
        ("200", "application/json", b'{"error": {"message": "m"}}', "server_error"),
        ("200", "application/json", b'{"error": null}', "complete"),
        ("400", "application/json", b'{"error": {"message": "m"}}', "complete"),
    ],
)
def test_an_error_under_a_good_status_is_one_of_the_server(
    pool: Pool, status: str, content_type: str, body: bytes, outcome: str
) -> None:
    gateway = Gateway(pool)
    gateway.headers()
    gateway.body(request_body("my-model"))
    gateway.answer_headers(status, content_type)
    gateway.answer_body(body)
    assert [completion.outcome for completion in gateway.completions.ended] == [outcome]
