"""The message-level cases of the guide's release (GIE v0.2): its filter tree, InferenceModels, both body modes."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from tests.conftest import Objects
from tests.extproc.one_gateway import in_metadata, mutated
from tests.reference.hermetic import BUFFERED, FULL, Hermetic, Pods, completion, pool_of, refused, routed, split

LOW: Pods = [(3, 0.2, ""), (0, 0.1, ""), (10, 0.2, "")]
ACTIVE: Pods = [(0, 0.2, "foo bar"), (0, 0.1, "foo sql-lora-1fdg2"), (10, 0.2, "foo bar")]
LONG: Pods = [(10, 0.2, "foo bar"), (200, 0.1, "foo sql-lora-1fdg2"), (6, 0.2, "foo")]
FULL_POOL: Pods = [(6, 0.2, "foo bar sql-lora-1fdg3"), (0, 0.85, "foo sql-lora-1fdg3"), (10, 0.9, "foo sql-lora-1fdg3")]
ROOM: Pods = [(4, 0.2, "foo bar sql-lora-1fdg3"), (0, 0.85, "foo sql-lora-1fdg3"), (10, 0.9, "foo sql-lora-1fdg3")]


class Case(NamedTuple):
    """A request and where it goes."""

    model: str
    prompt: str
    pods: Pods
    destination: str
    target: str
    length: int


ROUTED: dict[str, Case] = {
    "lower queue and kv, no active lora": Case("my-model", "test1", LOW, "192.168.1.2:8000", "my-model-12345", 76),
    "active lora, low queue": Case("sql-lora", "test2", ACTIVE, "192.168.1.2:8000", "sql-lora-1fdg2", 76),
    "no lora despite active model, avoid big queue": Case(
        "sql-lora", "test3", LONG, "192.168.1.3:8000", "sql-lora-1fdg2", 76
    ),
    "non-critical, one has capacity": Case(
        "sql-lora-sheddable", "test5", ROOM, "192.168.1.1:8000", "sql-lora-1fdg3", 76
    ),
}
IN_PIECES: dict[str, Case] = {
    "body split in two messages": Case("sql-lora-sheddable", "test6", ROOM, "192.168.1.1:8000", "sql-lora-1fdg3", 76),
    "modelName not translated": Case("direct-model", "test6", ROOM, "192.168.1.2:8000", "direct-model", 74),
}


def picker(pods: Pods, sheddable: str | None = "Sheddable") -> Hermetic:
    objects = Objects()
    models = (
        objects.model("sql-lora", (("sql-lora-1fdg2", 100),), criticality="Critical"),
        objects.model("sql-lora-sheddable", (("sql-lora-1fdg3", 100),), criticality=sheddable),
        objects.model("my-model", (("my-model-12345", 100),), criticality="Critical"),
        objects.model("direct-model", criticality="Critical"),
    )
    return Hermetic(pool_of(pods, *models), None)


def counted(of: Hermetic, model: str, target: str) -> float | None:
    return of.figure("inference_model_request_total", model_name=model, target_model_name=target)


@pytest.mark.parametrize("name", ROUTED)
def test_buffered(name: str) -> None:
    case = ROUTED[name]
    built = picker(case.pods)
    stream = built.stream(BUFFERED)
    stream.headers({":path": "/v1/completions"})
    (answer,) = stream.body(completion(case.model, case.prompt))
    common = answer.request_body.response
    assert mutated(common)["x-gateway-destination-endpoint"].split(",")[0] == case.destination
    assert mutated(common)["x-gateway-destination-endpoint"] == in_metadata(answer)
    assert mutated(common)["content-length"] == str(case.length)
    assert common.body_mutation.body == completion(case.target, case.prompt)
    assert counted(built, case.model, case.target) == 1


@pytest.mark.parametrize("name", [*ROUTED, *IN_PIECES])
def test_full_duplex(name: str) -> None:
    case = {**ROUTED, **IN_PIECES}[name]
    built = picker(case.pods)
    stream = built.stream()
    sent = completion(case.model, case.prompt)
    answers = stream.headers({":path": "/v1/completions", "hi": "mom"})
    route = routed(answers + stream.body(*(split(sent) if name in IN_PIECES else (sent,))))
    assert (route.destination, route.body) == (case.destination, completion(case.target, case.prompt))
    assert route.headers["content-length"] == str(case.length)
    assert counted(built, case.model, case.target) == 1


@pytest.mark.parametrize("mode", [BUFFERED, FULL], ids=["buffered", "full duplex"])
def test_non_critical_all_past_threshold_is_shed(mode: int) -> None:
    built = picker(FULL_POOL)
    stream = built.stream(mode)
    stream.headers({":path": "/v1/completions"})
    answers = stream.body(completion("sql-lora-sheddable", "test4"))
    assert refused(answers)[0] == 429
    assert not answers[0].HasField("dynamic_metadata")
    assert counted(built, "sql-lora-sheddable", "sql-lora-1fdg3") is None


def test_difference_a_model_of_unset_criticality_is_not_shed() -> None:
    built = picker(FULL_POOL, sheddable=None)
    stream = built.stream()
    stream.headers({":path": "/v1/completions"})
    assert routed(stream.body(completion("sql-lora-sheddable", "test4"))).destination == "192.168.1.2:8000"


@pytest.mark.parametrize(
    ("content_type", "pieces"),
    [
        pytest.param("application/json", (b'{"max_tokens":100,"model":"sql-lo', b'ra-sheddable"}'), id="two messages"),
        pytest.param("application/json", (b'{"model":"x"}', b""), id="one message and an empty one"),
        pytest.param(
            "text/event-stream",
            (
                *[b'data: {"choices":[{"text":"%d"}]}\n\n' % number for number in range(5)],
                b'data: {"choices":[],"usage":{"prompt_tokens":7,"total_tokens":17,"completion_tokens":10}}\n\n',
                b"data: [DONE]\n\n",
            ),
            id="SSE",
        ),
    ],
)
def test_answers_come_through_whole_and_end_once(content_type: str, pieces: tuple[bytes, ...]) -> None:
    stream = picker(ROOM).stream()
    stream.headers({":path": "/v1/completions"})
    stream.body(completion("sql-lora", "test6"))
    (head,) = stream.answer_headers({"content-type": content_type, ":status": "200"})
    assert head.WhichOneof("response") == "response_headers"
    echoed = [_piece(answer) for answer in stream.answer_body(*pieces)]
    assert [piece.body for piece in echoed] == list(pieces)
    assert [piece.end_of_stream for piece in echoed] == [False] * (len(pieces) - 1) + [True]


def _piece(answer: Any) -> Any:
    return answer.response_body.response.body_mutation.streamed_response
