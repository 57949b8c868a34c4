"""Answers as bytes, read back with Envoy's own types."""

from __future__ import annotations

import pytest
from envoy.config.core.v3 import base_pb2
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from hypothesis import given
from hypothesis import strategies as st

from signalbox.extproc import encoding

OVERWRITE = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD


def expected_mutation(destination: str, length: int | None, removed: list[str]) -> ext_proc.HeaderMutation:
    pairs = [(encoding.DESTINATION, destination)] + ([] if length is None else [("content-length", str(length))])
    return ext_proc.HeaderMutation(
        set_headers=[
            base_pb2.HeaderValueOption(
                header=base_pb2.HeaderValue(key=key, raw_value=value.encode()), append_action=OVERWRITE
            )
            for key, value in pairs
        ],
        remove_headers=removed,
    )


def with_metadata(response: ext_proc.ProcessingResponse, destination: str) -> ext_proc.ProcessingResponse:
    response.dynamic_metadata.update({"envoy.lb": {encoding.DESTINATION: destination}})
    return response


destinations = st.text(min_size=1, max_size=300)
names = st.lists(st.sampled_from(["x-gateway-inference-objective", "x-gateway-model-name-rewrite"]), unique=True)


@given(destinations, st.none() | st.integers(0, 2**40), names)
def test_route_in_headers(destination: str, length: int | None, removed: list[str]) -> None:
    common = ext_proc.CommonResponse(
        header_mutation=expected_mutation(destination, length, removed), clear_route_cache=True
    )
    expected = ext_proc.ProcessingResponse(request_headers=ext_proc.HeadersResponse(response=common))
    answer = ext_proc.ProcessingResponse.FromString(encoding.route_in_headers(destination, length, removed))
    assert answer == with_metadata(expected, destination)


@given(destinations, st.none() | st.binary(max_size=400), names)
def test_route_in_body(destination: str, body: bytes | None, removed: list[str]) -> None:
    common = ext_proc.CommonResponse(
        header_mutation=expected_mutation(destination, None if body is None else len(body), removed),
        clear_route_cache=True,
    )
    if body is not None:
        common.body_mutation.body = body
    expected = ext_proc.ProcessingResponse(request_body=ext_proc.BodyResponse(response=common))
    answer = ext_proc.ProcessingResponse.FromString(encoding.route_in_body(destination, body, removed))
    assert answer == with_metadata(expected, destination)


@given(
    st.integers(100, 599), st.binary(max_size=300), st.dictionaries(st.sampled_from(["a", "b"]), st.text(max_size=9))
)
def test_immediate(status: int, body: bytes, headers: dict[str, str]) -> None:
    answer = ext_proc.ProcessingResponse.FromString(encoding.immediate(status, body, headers.items(), "why"))
    immediate = answer.immediate_response
    assert (immediate.status.code, immediate.body, immediate.details) == (status, body, "why")
    sent = {option.header.key: option.header.raw_value.decode() for option in immediate.headers.set_headers}
    assert sent == headers


@given(st.sampled_from([0, 1, 61_000, 62_000, 62_001, 63_000, 124_000, 125_000]), st.booleans())
def test_chunks_are_small_and_only_the_last_ends_the_stream(size: int, end: bool) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    answers = [
        ext_proc.ProcessingResponse.FromString(chunk).request_body.response.body_mutation.streamed_response
        for chunk in encoding.request_chunks(body[:size], end)
    ]
    assert b"".join(answer.body for answer in answers) == body[:size]
    assert max(len(answer.body) for answer in answers) <= 62_000
    assert len(answers) == max(1, -(-size // 62_000))
    assert [answer.end_of_stream for answer in answers] == [False] * (len(answers) - 1) + [end]


def test_the_constant_answers() -> None:
    read = ext_proc.ProcessingResponse.FromString
    assert read(encoding.CONTINUE_REQUEST_HEADERS).WhichOneof("response") == "request_headers"
    assert read(encoding.CONTINUE_RESPONSE_HEADERS).WhichOneof("response") == "response_headers"
    assert read(encoding.CONTINUE_REQUEST_BODY).WhichOneof("response") == "request_body"
    assert read(encoding.CONTINUE_RESPONSE_BODY).WhichOneof("response") == "response_body"
    assert read(encoding.CONTINUE_REQUEST_TRAILERS).WhichOneof("response") == "request_trailers"
    assert read(encoding.CONTINUE_RESPONSE_TRAILERS).WhichOneof("response") == "response_trailers"


@pytest.mark.parametrize("name", ["NONE", "BUFFERED", "STREAMED", "BUFFERED_PARTIAL", "FULL_DUPLEX_STREAMED"])
def test_the_switch_to_buffered_bodies_leaves_the_response_as_it_is(name: str) -> None:
    mode = ProcessingMode.BodySendMode.Value(name)
    answer = ext_proc.ProcessingResponse.FromString(encoding.buffer_the_body(mode))
    assert answer.WhichOneof("response") == "request_headers"
    assert answer.mode_override == ProcessingMode(
        request_header_mode=ProcessingMode.SEND,
        response_header_mode=ProcessingMode.SEND,
        request_body_mode=ProcessingMode.BUFFERED_PARTIAL,
        response_body_mode=mode,
        response_trailer_mode=ProcessingMode.SEND if name == "FULL_DUPLEX_STREAMED" else ProcessingMode.DEFAULT,
    )


def test_modes_that_nobody_knows_leave_nothing_behind() -> None:
    """They are numbers that a peer makes up, each another one."""
    first, second = (encoding.buffer_the_body(mode) for mode in (1_000_001, -7))
    assert first == second
    assert not hasattr(encoding.buffer_the_body, "cache_info")
