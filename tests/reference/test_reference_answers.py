"""What becomes of a model server's answer in the later releases' suite, and what is counted of it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.extproc.one_gateway import mutated
from tests.reference.hermetic import Hermetic, Stream, completion, pool_of

USAGE = b'data: {"usage":{"prompt_tokens":7,"total_tokens":17,"completion_tokens":10}}\ndata: [DONE]'
MODEL = {"model_name": "m", "target_model_name": "m"}


@pytest.fixture
def picker() -> Hermetic:
    return Hermetic(pool_of([(0, 0.2, "")]))


def answering(picker: Hermetic, content_type: str, status: str = "200") -> Stream:
    """A stream whose request has been routed and whose answer has begun."""
    stream = picker.stream()
    stream.headers({":path": "/v1/completions"})
    stream.body(completion("m", "x"))
    (head,) = stream.answer_headers({"content-type": content_type, ":status": status})
    assert head.WhichOneof("response") == "response_headers"
    return stream


def pieces(answers: list[Any]) -> list[tuple[bytes, bool]]:
    """Body and end of each piece that is passed on."""
    found = [answer.response_body.response.body_mutation.streamed_response for answer in answers]
    return [(piece.body, piece.end_of_stream) for piece in found]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param((b'{"max_tokens":100,"mo', b'del":"x"}'), id="JSON in two chunks"),
        pytest.param((b"no healthy upstream",), id="invalid JSON"),
        pytest.param((b'{"max_tokens":100,"model":"x"}', b""), id="JSON and an empty end"),
        pytest.param((b"data: {}", USAGE, b""), id="SSE"),
    ],
)
def test_every_answer_arrives_whole_and_ends_with_its_last_message(picker: Hermetic, sent: tuple[bytes, ...]) -> None:
    content_type = "text/event-stream" if sent[0].startswith(b"data:") else "application/json"
    echoed = pieces(answering(picker, content_type).answer_body(*sent))
    assert b"".join(body for body, _ in echoed) == b"".join(sent)
    assert [end for _, end in echoed] == [False] * (len(sent) - 1) + [True]


def test_the_usage_of_a_streamed_answer_is_counted_once(picker: Hermetic) -> None:
    answering(picker, "text/event-stream").answer_body(b"data: {}", USAGE, b"")
    assert picker.figure("inference_objective_input_tokens_sum", **MODEL) == 7
    assert picker.figure("inference_objective_input_tokens_count", **MODEL) == 1
    assert picker.figure("inference_objective_input_tokens_bucket", **MODEL, le="8") == 1
    assert picker.figure("inference_objective_output_tokens_sum", **MODEL) == 10


def test_difference_an_event_may_come_in_two_messages(picker: Hermetic) -> None:
    answering(picker, "text/event-stream").answer_body(USAGE[:30], USAGE[30:], b"")
    assert picker.figure("inference_objective_input_tokens_sum", **MODEL) == 7


def test_difference_json_is_passed_on_as_it_comes_and_not_collected(picker: Hermetic) -> None:
    stream = answering(picker, "application/json")
    assert pieces(stream.answer_body(b'{"usage":{"prompt_to', end=False)) == [(b'{"usage":{"prompt_to', False)]
    assert pieces(stream.answer_body(b'kens":7,"completion_tokens":10}}')) == [
        (b'kens":7,"completion_tokens":10}}', True)
    ]
    assert picker.figure("inference_objective_input_tokens_sum", **MODEL) == 7


def test_difference_headers_of_an_answer_stay_and_none_is_added(picker: Hermetic) -> None:
    stream = picker.stream()
    stream.headers({":path": "/v1/completions"})
    stream.body(completion("m", "x"))
    (head,) = stream.answer_headers({"content-type": "application/json", ":status": "200"})
    assert mutated(head.response_headers.response) == {}
    assert not head.response_headers.response.header_mutation.remove_headers


def test_difference_an_answer_to_nothing_the_picker_saw_passes_uncounted(picker: Hermetic) -> None:
    stream = picker.stream()
    stream.answer_headers({"content-type": "text/event-stream", ":status": "200"})
    assert pieces(stream.answer_body(b"data: {}", USAGE, b"")) == [(b"data: {}", False), (USAGE, False), (b"", True)]
    assert picker.figure("inference_objective_input_tokens_count", model_name="", target_model_name="") is None


def test_difference_the_model_in_an_answer_is_the_servers(picker: Hermetic) -> None:
    stream = picker.stream()
    stream.headers({":path": "/v1/completions", "x-gateway-model-name-rewrite": "target"})
    stream.body(completion("m", "x"))
    stream.answer_headers({"content-type": "application/json", ":status": "200"})
    assert pieces(stream.answer_body(b'{"model":"target"}')) == [(b'{"model":"target"}', True)]
