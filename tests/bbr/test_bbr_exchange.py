"""Body-based routing at ext_proc message level, in each of the gateway's body modes."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from tests.cli.dialogue import body, headers, opening

from signalbox.bbr import BASE_MODEL_HEADER, MODEL_HEADER, BaseModels, BodyTerms, RouterMetrics, router_routes
from signalbox.extproc import PROCESS

QWEN = BaseModels({"qwen": "qwen", "sql-lora": "qwen"})
MODES = ("BUFFERED", "BUFFERED_PARTIAL", "STREAMED", "FULL_DUPLEX_STREAMED")


@dataclass
class Stream:
    """One stream and what it answers."""

    terms: BodyTerms = field(default_factory=BodyTerms)
    models: BaseModels = QWEN
    method: str = PROCESS
    metadata: tuple[tuple[bytes, bytes], ...] = ()
    answers: list[ext_proc.ProcessingResponse] = field(default_factory=list)
    status: int | None = None

    def __post_init__(self) -> None:
        self.metrics = RouterMetrics(build_ref="test")
        ticks = count()
        self.exchange = router_routes(lambda: self.models, self.metrics, lambda: float(next(ticks)), self.terms)[
            PROCESS
        ](self)

    def send(self, message: bytes) -> None:
        if self.status is None:
            self.answers.append(ext_proc.ProcessingResponse.FromString(message))

    def finish(self, status: int = 0, message: str = "") -> None:
        if self.status is None:
            self.status = status

    def say(self, *requests: Any) -> list[ext_proc.ProcessingResponse]:
        """Send these; return all answers."""
        for request in requests:
            if self.status is None:
                self.exchange.message(request.SerializeToString())
        return self.answers

    def count(self, name: str, **labels: str) -> float:
        value = self.metrics.registry.get_sample_value(name, labels)
        assert value is not None
        return value

    @property
    def common(self) -> Any:
        """The one answer that changes something."""
        for answer in self.answers:
            part = getattr(answer, answer.WhichOneof("response"))
            if hasattr(part, "response") and part.response.HasField("header_mutation"):
                return part.response
        raise AssertionError("nothing was changed")

    @property
    def set(self) -> dict[str, str]:
        """The headers that are set."""
        return {each.header.key: each.header.raw_value.decode() for each in self.common.header_mutation.set_headers}

    @property
    def removed(self) -> list[str]:
        """The headers that are taken off."""
        return list(self.common.header_mutation.remove_headers)


def sent(mode: str, data: bytes, **more: Any) -> Stream:
    """A stream that has carried a whole request."""
    stream = Stream(**more)
    pieces = (body(data[:7], end=False), body(data[7:])) if mode == "FULL_DUPLEX_STREAMED" else (body(data),)
    stream.say(opening(mode, "NONE"), *pieces)
    return stream


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("model", "base"), [("qwen", "qwen"), ("sql-lora", "qwen")])
def test_model_and_base_model_become_headers_and_the_route_is_chosen_again(mode: str, model: str, base: str) -> None:
    stream = sent(mode, b'{"max_tokens": 100, "model": "%s", "prompt": "x"}' % model.encode())
    assert (stream.set[MODEL_HEADER], stream.set[BASE_MODEL_HEADER]) == (model, base)
    assert stream.common.clear_route_cache
    assert all(
        each.append_action == each.OVERWRITE_IF_EXISTS_OR_ADD for each in stream.common.header_mutation.set_headers
    )
    assert stream.status == 0, "the stream ends with the request"
    assert stream.count("bbr_success_total") == 1
    assert stream.count("bbr_info", commit="", build_ref="test") == 1


@pytest.mark.parametrize("mode", MODES)
def test_a_base_model_header_of_the_client_does_not_survive_an_unknown_model(mode: str) -> None:
    stream = sent(mode, b'{"model": "stranger"}')
    assert stream.set[MODEL_HEADER] == "stranger"
    assert stream.removed == [BASE_MODEL_HEADER]


def test_buffered_answers_come_in_order_and_leave_the_body_alone() -> None:
    stream = sent("BUFFERED", b'{"model": "qwen"}')
    assert [answer.WhichOneof("response") for answer in stream.answers] == ["request_headers", "request_body"]
    assert not stream.answers[0].request_headers.response.HasField("header_mutation")
    assert not stream.answers[1].request_body.response.HasField("body_mutation")


def test_full_duplex_answers_headers_and_body_when_the_body_is_there() -> None:
    data = b'{"model": "qwen", "prompt": "%s"}' % (b"x" * 150_000)
    stream = Stream()
    assert stream.say(opening("FULL_DUPLEX_STREAMED", "NONE"), body(data[:100_000], end=False)) == []
    kinds = [answer.WhichOneof("response") for answer in stream.say(body(data[100_000:]))]
    assert kinds == ["request_headers"] + ["request_body"] * 3
    assert stream.set["content-length"] == str(len(data))
    chunks = [answer.request_body.response.body_mutation.streamed_response for answer in stream.answers[1:]]
    assert b"".join(chunk.body for chunk in chunks) == data
    assert [chunk.end_of_stream for chunk in chunks] == [False, False, True]


def test_streamed_is_switched_to_a_mode_in_which_the_headers_wait() -> None:
    stream = Stream()
    (answer,) = stream.say(opening("STREAMED", "NONE"))
    assert answer.mode_override.request_body_mode == answer.mode_override.BUFFERED_PARTIAL


def test_trailers_end_a_body_too() -> None:
    stream = Stream()
    trailers = ext_proc.ProcessingRequest(request_trailers=ext_proc.HttpTrailers())
    stream.say(opening("FULL_DUPLEX_STREAMED", "NONE"), body(b'{"model": "qwen"}', end=False), trailers)
    assert [each.WhichOneof("response") for each in stream.answers] == [
        "request_headers", "request_body", "request_trailers",
    ]  # fmt: skip
    assert not stream.answers[1].request_body.response.body_mutation.streamed_response.end_of_stream
    assert stream.status == 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("data", "counter", "labels"),
    [
        (b'{"prompt": "x"}', "bbr_body_field_not_found_total", {"field": "model"}),
        (b'{"model": {}}', "bbr_body_field_not_found_total", {"field": "model"}),
        (b'{"model": ""}', "bbr_body_field_empty_total", {"field": "model"}),
        (b"", "bbr_model_not_in_body_total", {}),
    ],
)
def test_a_body_without_a_model_passes_unchanged(mode: str, data: bytes, counter: str, labels: dict[str, str]) -> None:
    stream = sent(mode, data)
    assert stream.count(counter, **labels) == 1
    assert stream.count("bbr_success_total") == 0
    if mode == "FULL_DUPLEX_STREAMED":
        assert stream.set == {"content-length": str(len(data))}
        assert not stream.common.clear_route_cache
    else:
        assert stream.answers[-1].WhichOneof("response") == "request_body"
        assert not stream.answers[-1].request_body.response.HasField("header_mutation")
    assert stream.status == 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("data", "param"),
    [(b"{no json", None), (b'["model"]', None), (b'{"model": "a\\nx-evil: 1"}', "model")],
)
def test_a_body_that_cannot_be_routed_is_refused(mode: str, data: bytes, param: str | None) -> None:
    stream = sent(mode, data)
    refusal = stream.answers[-1].immediate_response
    assert refusal.status.code == 400
    assert b'"type":"invalid_request_error"' in refusal.body
    assert (b'"param":"model"' in refusal.body) is (param is not None)
    assert stream.count("bbr_model_not_parsed_total") == 1
    assert stream.status == 0


@pytest.mark.parametrize("mode", MODES)
def test_an_upload_is_not_ours_to_judge(mode: str) -> None:
    stream = Stream()
    form = opening(mode, "NONE", False, **{"content-type": "multipart/form-data; boundary=x"})
    stream.say(form, body(b"--x\r\n\x00\xff\r\n--x--"))
    assert stream.status == 0
    assert not any(answer.HasField("immediate_response") for answer in stream.answers)


def test_json_that_says_it_is_a_form_is_still_read() -> None:
    stream = Stream()
    form = opening("BUFFERED", "NONE", False, **{"content-type": "application/x-www-form-urlencoded"})
    stream.say(form, body(b'{"model": "qwen"}'))
    assert stream.set[MODEL_HEADER] == "qwen"


def test_a_body_cut_short_by_the_gateway_is_refused_with_the_reason() -> None:
    stream = Stream()
    stream.say(opening("BUFFERED_PARTIAL", "NONE"), body(b'{"model": "qwen", "prompt": "aa', end=False))
    refusal = stream.answers[-1].immediate_response
    assert refusal.status.code == 413
    assert b"only the first 31 bytes" in refusal.body


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_over_the_limit_is_refused(announced: bool) -> None:
    stream = Stream(BodyTerms(max_body=10))
    extra = {"content-length": "11"} if announced else {}
    stream.say(opening("FULL_DUPLEX_STREAMED", "NONE", False, **extra), body(b"x" * 11, end=False))
    (answer,) = stream.answers
    assert answer.immediate_response.status.code == 413
    assert stream.status == 0


@pytest.mark.parametrize("mode", ["NONE", *MODES])
def test_requests_without_a_body_pass(mode: str) -> None:
    stream = Stream()
    (answer,) = stream.say(opening(mode, "NONE", end=mode != "NONE"))
    assert answer.WhichOneof("response") == "request_headers"
    assert not answer.request_headers.response.HasField("header_mutation")
    assert stream.status == 0


@pytest.mark.parametrize(("mode", "first"), [(4, []), (2, ["request_headers"])])
def test_a_gateway_that_names_no_mode_gets_the_one_of_the_flag(mode: int, first: list[str]) -> None:
    stream = Stream(BodyTerms(body_mode=mode))
    plain = ext_proc.ProcessingRequest(request_headers=headers({":path": "/v1/completions"}))
    assert [answer.WhichOneof("response") for answer in stream.say(plain)] == first
    stream.say(body(b'{"model": "qwen"}'))
    assert stream.set[MODEL_HEADER] == "qwen"


def test_a_gateway_that_hides_the_headers_is_told() -> None:
    (answer,) = Stream().say(body(b'{"model": "qwen"}'))
    assert answer.immediate_response.status.code == 500
    assert b"set request_header_mode SEND" in answer.immediate_response.body


def test_answers_are_of_no_interest() -> None:
    stream = Stream()
    assert stream.say(ext_proc.ProcessingRequest(response_headers=headers({":status": "200"}))) == []
    assert stream.status == 0


@pytest.mark.parametrize("data", [b"\xff\xff", b""])
def test_a_message_that_is_none_ends_the_stream(data: bytes) -> None:
    stream = Stream()
    stream.exchange.message(data)
    assert stream.status == 3


def test_a_gateway_that_leaves_is_no_trouble() -> None:
    stream = Stream()
    stream.say(opening("FULL_DUPLEX_STREAMED", "NONE"), body(b"{", end=False))
    stream.exchange.cancelled()
    other = Stream()
    other.say(opening("BUFFERED", "NONE"))
    other.exchange.half_closed()
    assert (stream.status, other.status) == (None, 0)
