"""The message-level cases of the later releases (GIE v1.5 and llm-d): queue, KV, prefix and LoRA scorers, weight 1.

Every case runs under the header names of both, and with and without the kinds that carry priorities and rewrites.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
from tests.conftest import Objects
from tests.reference.hermetic import (
    PASSTHROUGH,
    Asked,
    Hermetic,
    Pods,
    completion,
    fixture_objects,
    pool_of,
    refused,
    routed,
    split,
)

LOW: Pods = [(3, 0.2, ""), (0, 0.1, ""), (10, 0.2, "")]
SUBSET: Pods = [(0, 0.2, "foo"), (0, 0.1, "foo sql-lora-1fdg2"), (10, 0.2, "foo")]
ONE_TO_THREE = ("192.168.1.1:8000", "192.168.1.2:8000", "192.168.1.3:8000")


class Case(NamedTuple):
    """A request as objective, rewrite header, body and subset; pods; where it goes, as what, at which priority."""

    objective: str
    rewrite: str
    body: bytes
    pods: Pods
    destination: str
    target: str
    priority: int
    in_pieces: bool = False
    subset: tuple[str, ...] | None = None


def lora(prompt: str, pods: Pods, destination: str, subset: tuple[str, ...] | None = None) -> Case:
    """A request for ``sql-lora`` that a header renames, as most of the cases are."""
    body = completion("sql-lora", prompt)
    return Case("sql-lora", "sql-lora-1fdg2", body, pods, destination, "sql-lora-1fdg2", 2, subset=subset)


ROUTED = {
    "lower queue and kv": Case(
        "my-model", "my-model-12345", completion("my-model", "test1"), LOW, "192.168.1.2:8000", "my-model-12345", 2
    ),
    "active lora, low queue": lora(
        "test2", [(0, 0.2, "foo bar"), (0, 0.1, "foo sql-lora-1fdg2"), (10, 0.2, "foo bar")], "192.168.1.2:8000"
    ),
    "lora despite higher kv": lora(
        "test3", [(10, 0.2, "foo bar"), (10, 0.4, "foo sql-lora-1fdg2"), (10, 0.3, "foo")], "192.168.1.2:8000"
    ),
    "no shedding by default": lora(
        "test4", [(6, 0.2, "foo bar sql-lora-1fdg2"), (0, 0.85, "foo"), (10, 0.9, "foo")], "192.168.1.1:8000"
    ),
    "split body": Case(
        "sql-lora-sheddable",
        "sql-lora-1fdg3",
        completion("sql-lora-sheddable", "test6"),
        [(4, 0.2, "foo bar sql-lora-1fdg3"), (4, 0.85, "foo sql-lora-1fdg3")],
        "192.168.1.1:8000",
        "sql-lora-1fdg3",
        0,
        in_pieces=True,
    ),
    "subset best": lora("test2", SUBSET, "192.168.1.2:8000", ONE_TO_THREE),
    "subset partial": lora("test2", SUBSET, "192.168.1.3:8000", ONE_TO_THREE[2:]),
    "model that is its own target": Case(
        "direct-model",
        "direct-model",
        completion("direct-model", "test6"),
        [(4, 0.2, "foo bar sql-lora-1fdg3")],
        "192.168.1.1:8000",
        "direct-model",
        2,
        in_pieces=True,
    ),
}


@pytest.mark.parametrize("crds", [True, False], ids=["with objectives", "without"])
@pytest.mark.parametrize("family", ["gateway", "llm-d"])
@pytest.mark.parametrize("name", ROUTED)
def test_routed(name: str, family: str, crds: bool) -> None:
    case = ROUTED[name]
    picker = Hermetic(pool_of(case.pods, *fixture_objects(crds)))
    pieces = split(case.body) if case.in_pieces else (case.body,)
    route = routed(Asked(case.objective, case.rewrite, pieces, case.subset, family).of(picker))
    assert route.destination == case.destination
    assert route.body == case.body.replace(_model(case).encode(), case.target.encode())
    assert route.removed == {f"x-{family}-inference-objective", f"x-{family}-model-name-rewrite"}
    priority = str(case.priority if crds else 0)
    labels = {"model_name": _model(case), "target_model_name": case.target, "priority": priority}
    assert picker.figure("inference_objective_request_total", **labels) == 1
    assert picker.figure("inference_pool_ready_pods", name="pool") == len(case.pods)


def _model(case: Case) -> str:
    """The model that the client asked for: the suite's objectives are named like it."""
    return case.objective


def test_rewrite_by_an_object() -> None:
    picker = Hermetic(pool_of([(0, 0.1, "foo rewritten-model")], *fixture_objects()))
    asked = Asked("model-to-be-rewritten", pieces=(completion("model-to-be-rewritten", "test"),))
    route = routed(asked.of(picker))
    assert (route.destination, route.body) == ("192.168.1.1:8000", completion("rewritten-model", "test"))
    labels = {"model_name": "model-to-be-rewritten", "target_model_name": "rewritten-model", "priority": "0"}
    assert picker.figure("inference_objective_request_total", **labels) == 1


def test_passthrough_parser() -> None:
    picker = Hermetic(pool_of(LOW, *fixture_objects()), PASSTHROUGH)
    route = routed(Asked("my-model", pieces=(b"passthrough-parser",)).of(picker))
    assert (route.destination, route.body) == ("192.168.1.2:8000", b"passthrough-parser")
    assert route.headers["content-length"] == "18"
    labels = {"model_name": "", "target_model_name": "", "priority": "2"}
    assert picker.figure("inference_objective_request_total", **labels) == 1


def test_get_without_a_body() -> None:
    picker = Hermetic(pool_of([(0, 0.2, "")]))
    (answer,) = picker.stream().headers({":path": "/v1/models", "content-type": "text/event-stream"}, end=True)
    assert answer.WhichOneof("response") == "request_headers"
    assert answer.request_headers.response.clear_route_cache


@pytest.mark.parametrize(
    ("sent", "pods", "subset", "status", "code"),
    [
        pytest.param(b'{"prompt":"hello world"}', [], None, 400, "invalid_request", id="missing model"),
        pytest.param(b"no healthy upstream", [(0, 0.2, "foo")], None, 400, "invalid_request", id="invalid JSON"),
        pytest.param(
            completion("sql-lora", "test2"), SUBSET[:2], ("192.168.1.99:8000",), 503, "no_ready_endpoint",
            id="subset none",
        ),
    ],
)  # fmt: skip
def test_refused(sent: bytes, pods: Pods, subset: tuple[str, ...] | None, status: int, code: str) -> None:
    found, body = refused(Asked(pieces=(sent,), subset=subset).of(Hermetic(pool_of(pods))))
    assert found == status
    assert b'"code":"%s"' % code.encode() in body


def test_who_drops_a_request_says_why_in_a_header() -> None:
    (answer,) = Asked(pieces=(completion("m", "x"),), subset=("192.168.1.99:8000",)).of(Hermetic(pool_of(LOW)))
    sent = {option.header.key: option.header.raw_value for option in answer.immediate_response.headers.set_headers}
    assert sent["x-llm-d-request-dropped-reason"] == b"rejected-no-endpoints"


def test_below_zero_is_shed_by_a_saturated_pool_and_only_there() -> None:
    batch = Objects().objective("batch", -1)
    asked = Asked("batch", pieces=(completion("m", "x"),))
    idle, saturated = ([(queue, 0.1, "")] * 3 for queue in (0, 50))
    assert routed(asked.of(Hermetic(pool_of(idle, batch)))).destination
    (answer,) = asked.of(Hermetic(pool_of(saturated, batch)))
    assert answer.immediate_response.status.code == 429
    sent = {option.header.key: option.header.raw_value for option in answer.immediate_response.headers.set_headers}
    assert sent["x-llm-d-request-dropped-reason"] == b"rejected-saturated"


ACTIVE = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: active-request-scorer}]
"""


def test_requests_in_flight_are_counted_under_concurrency() -> None:
    picker = Hermetic(pool_of([(0, 0, "")] * 3), ACTIVE)
    columns, streams = picker.pool.columns, [picker.stream() for _ in range(9)]
    for number, stream in enumerate(streams, 1):
        stream.headers({":path": "/v1/completions"})
        routed(stream.body(completion("m", f"test{number}")))
        assert columns.inflight.sum() == number
    assert sorted(columns.inflight[picker.pool.rows].tolist()) == [3, 3, 3]
    for number, stream in enumerate(streams, 1):
        stream.answer_headers({"content-type": "application/json", ":status": "200"})
        stream.answer_body(b"{}")
        assert columns.inflight.sum() == 9 - number
