"""The reference's cases for vLLM's gRPC API. Its parser does not exist here: with passthrough-parser the bodies are
routed unread, to the same endpoints, and their usage is not counted."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from tests.reference.hermetic import PASSTHROUGH, Hermetic, Pods, fixture_objects, pool_of, refused, routed

GENERATE = "/vllm.grpc.engine.VllmEngine/Generate"
EMBED = "/vllm.grpc.engine.VllmEngine/Embed"
OBJECTIVE = "inference-objective-with-priority-4"
LOW: Pods = [(3, 0.2, ""), (0, 0.1, ""), (10, 0.2, "")]
PROTOBUF = b"\x0a\x01x\x12\x05test1"
FRAME = b"\x00" + len(PROTOBUF).to_bytes(4, "big") + PROTOBUF


class Case(NamedTuple):
    """A call, its pods and its endpoint."""

    path: str
    pods: Pods
    destination: str
    objective: str = OBJECTIVE
    priority: str = "4"
    subset: list[str] | None = None
    pieces: tuple[bytes, ...] = (FRAME,)


CASES = {
    "lower queue, Generate": Case(GENERATE, LOW, "192.168.1.2:8000"),
    "lower queue, Embed": Case(EMBED, LOW, "192.168.1.2:8000"),
    "no objective": Case(GENERATE, [(6, 0.2, ""), (0, 0.85, ""), (10, 0.9, "")], "192.168.1.1:8000", "", "0"),
    "body in halves": Case(GENERATE, LOW, "192.168.1.2:8000", pieces=(FRAME[:7], FRAME[7:])),
    "subset best": Case(GENERATE, LOW, "192.168.1.2:8000", subset=[f"192.168.1.{host}:8000" for host in (1, 2, 3)]),
    "subset partial": Case(GENERATE, LOW, "192.168.1.3:8000", subset=["192.168.1.3:8000"]),
}


def head(case: Case) -> dict[str, str]:
    objective = {"x-gateway-inference-objective": case.objective} if case.objective else {}
    return {":path": case.path, "content-type": "application/grpc", **objective}


@pytest.mark.parametrize("name", CASES)
def test_routed(name: str) -> None:
    case = CASES[name]
    picker = Hermetic(pool_of(case.pods, *fixture_objects()), PASSTHROUGH)
    stream = picker.stream()
    route = routed(stream.headers(head(case), subset=case.subset) + stream.body(*case.pieces))
    assert (route.destination, route.body) == (case.destination, FRAME)
    labels = {"model_name": "", "target_model_name": "", "priority": case.priority}
    assert picker.figure("inference_objective_request_total", **labels) == 1
    assert picker.figure("inference_pool_ready_pods", name="pool") == 3


def test_subset_none_is_503() -> None:
    stream = Hermetic(pool_of(LOW), PASSTHROUGH).stream()
    assert refused(stream.headers({":path": GENERATE}, subset=["192.168.1.99:8000"]) + stream.body(FRAME))[0] == 503


@pytest.mark.parametrize(("path", "sent"), [(GENERATE, b"plain text"), ("/unsupportedMethod", FRAME)])
def test_difference_what_the_parser_would_refuse_is_routed(path: str, sent: bytes) -> None:
    stream = Hermetic(pool_of(LOW), PASSTHROUGH).stream()
    assert routed(stream.headers({":path": path}) + stream.body(sent)).body == sent


def test_without_a_passthrough_parser_a_frame_is_400() -> None:
    stream = Hermetic(pool_of(LOW)).stream()
    assert refused(stream.headers({":path": GENERATE}) + stream.body(FRAME))[0] == 400


@pytest.mark.parametrize(
    "chunks", [(FRAME[:6], FRAME[6:]), (b"invalid",), (FRAME, FRAME)], ids=["parts", "invalid", "stream"]
)
def test_answers_pass_chunk_by_chunk_and_end_with_their_trailers(chunks: tuple[bytes, ...]) -> None:
    picker = Hermetic(pool_of(LOW), PASSTHROUGH)
    stream = picker.stream()
    stream.headers({":path": GENERATE})
    stream.body(FRAME)
    stream.answer_headers({"content-type": "application/grpc", ":status": "200"})
    echoed = [
        answer.response_body.response.body_mutation.streamed_response
        for answer in stream.answer_body(*chunks, end=False)
    ]
    assert [(piece.body, piece.end_of_stream) for piece in echoed] == [(chunk, False) for chunk in chunks]
    (trailers,) = stream.say(response_trailers=ext_proc.HttpTrailers())
    assert trailers.WhichOneof("response") == "response_trailers"
    assert stream.call.status == 0
    assert picker.pool.columns.inflight.sum() == 0
    assert picker.figure("inference_objective_input_tokens_count", model_name="", target_model_name="") is None
