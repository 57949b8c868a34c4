"""Messages read in their bytes, held against protobuf's own reading."""

from __future__ import annotations

import pytest
from envoy.config.core.v3 import base_pb2
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from signalbox.extproc.decoding import (
    PLAIN_TAIL,
    REQUEST_BODY,
    REQUEST_HEADERS,
    RESPONSE_BODY,
    RESPONSE_HEADERS,
    Tail,
    find_body,
    find_headers,
    read_tail,
    tail_of,
)
from signalbox.extproc.headers import READ_IN_ANSWERS, READ_IN_REQUESTS, values_of

FULL = ProcessingMode.FULL_DUPLEX_STREAMED
STREAMED = ProcessingMode.STREAMED

tails = st.builds(
    lambda plain, modes: ext_proc.ProcessingRequest(
        metadata_context=base_pb2.Metadata() if plain else None,
        protocol_config=ext_proc.ProtocolConfiguration(request_body_mode=modes[0], response_body_mode=modes[1])
        if modes
        else None,
    ),
    st.booleans(),
    st.none() | st.tuples(st.integers(0, 4), st.integers(0, 4)),
)
sizes = st.sampled_from([0, 1, 100, 127, 128, 200, 16_383, 16_384, 2_100_000])
bodies = st.builds(lambda size, end: ext_proc.HttpBody(body=bytes(size), end_of_stream=end), sizes, st.booleans())
names = st.sampled_from([name.decode() for name in READ_IN_REQUESTS.names | READ_IN_ANSWERS.names]) | st.text(
    max_size=200
)
values = st.binary(max_size=20) | st.integers(100, 300).map(bytes)
header_maps = st.lists(
    st.tuples(names, values).map(lambda pair: base_pb2.HeaderValue(key=pair[0], raw_value=pair[1])), max_size=12
)
heads = st.builds(
    lambda entries, end: ext_proc.HttpHeaders(headers=base_pb2.HeaderMap(headers=entries), end_of_stream=end),
    header_maps,
    st.booleans(),
)


def after(phase: bytes, tail: ext_proc.ProcessingRequest) -> bytes:
    rest: bytes = tail.SerializeToString()
    return phase + rest


@given(bodies, st.booleans(), tails)
def test_bodies_are_found(body: ext_proc.HttpBody, of_request: bool, tail: ext_proc.ProcessingRequest) -> None:
    message = (
        ext_proc.ProcessingRequest(request_body=body) if of_request else ext_proc.ProcessingRequest(response_body=body)
    )
    data = after(message.SerializeToString(), tail)
    assert data[0] == (REQUEST_BODY if of_request else RESPONSE_BODY)
    found = find_body(data)
    assert found is not None, "the usual shape"
    start, stop, end, last = found
    assert (data[start:stop], last) == (body.body, body.end_of_stream)
    assert read_tail(data[end:]) == tail_of(tail)


@given(heads, st.booleans(), tails, st.booleans())
def test_headers_are_found(
    head: ext_proc.HttpHeaders, of_request: bool, tail: ext_proc.ProcessingRequest, everything: bool
) -> None:
    message = (
        ext_proc.ProcessingRequest(request_headers=head)
        if of_request
        else ext_proc.ProcessingRequest(response_headers=head)
    )
    data = after(message.SerializeToString(), tail)
    assert data[0] == (REQUEST_HEADERS if of_request else RESPONSE_HEADERS)
    wanted = None if everything else READ_IN_REQUESTS
    found = find_headers(data, wanted)
    if found is None:  # an empty value or a long name: protobuf reads those
        assert any(
            not header.raw_value or len(header.key.encode()) > 127 or not header.key for header in head.headers.headers
        )
        return
    values, end, last = found
    expected = values_of(head, wanted)
    assert last == head.end_of_stream
    assert read_tail(data[end:]) == tail_of(tail)
    if len(expected) < len(READ_IN_REQUESTS.names):
        ascii_only = {name: value for name, value in expected.items() if name.isascii()}
        assert {name: value for name, value in values.items() if name.isascii()} == ascii_only


@given(st.sampled_from([REQUEST_BODY, RESPONSE_BODY]), st.binary(max_size=40))
def test_of_any_bytes_a_body_is_found_only_where_protobuf_sees_the_same(kind: int, rest: bytes) -> None:
    data = bytes((kind,)) + rest
    found = find_body(data)
    if found is None or read_tail(data[found[2] :]) is None:
        return
    start, stop, end, last = found
    message = ext_proc.ProcessingRequest.FromString(data)
    body = message.request_body if kind == REQUEST_BODY else message.response_body
    assert (data[start:stop], last) == (body.body, body.end_of_stream)
    assert read_tail(data[end:]) == tail_of(message)


@given(
    st.sampled_from([REQUEST_HEADERS, RESPONSE_HEADERS]),
    heads,
    st.lists(st.tuples(st.integers(0), st.integers(0, 255))),
)
def test_of_damaged_headers_what_is_found_is_what_protobuf_sees(
    kind: int, head: ext_proc.HttpHeaders, damage: list[tuple[int, int]]
) -> None:
    content = bytearray(head.SerializeToString())
    for at, value in damage:
        if content:
            content[at % len(content)] = value
    data = bytes((kind,)) + _varint(len(content)) + content + PLAIN_TAIL
    found = find_headers(data, READ_IN_REQUESTS)
    if found is None or read_tail(data[found[1] :]) is None:
        return
    try:
        message = ext_proc.ProcessingRequest.FromString(data)
    except DecodeError:
        return  # something in a header that is not wanted
    read = message.request_headers if kind == REQUEST_HEADERS else message.response_headers
    assert found[2] == read.end_of_stream
    expected = values_of(read, READ_IN_REQUESTS)
    if len(expected) < len(READ_IN_REQUESTS.names):
        assert found[0] == expected


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def test_the_search_ends_with_the_last_wanted_header() -> None:
    entries = [
        base_pb2.HeaderValue(key=key, raw_value=value) for key, value in ((":status", b"200"), ("content-type", b"a"))
    ]
    late = base_pb2.HeaderValue(key="content-type", raw_value=b"b")
    head = ext_proc.HttpHeaders(headers=base_pb2.HeaderMap(headers=[*entries, late]))
    data = ext_proc.ProcessingRequest(response_headers=head).SerializeToString()
    assert find_headers(data, READ_IN_ANSWERS) == ({b":status": b"200", b"content-type": b"a"}, len(data), False)


@pytest.mark.parametrize(
    "body",
    [
        ext_proc.HttpBody(body=b"x", grpc_message_compressed=True),
        ext_proc.HttpBody(body=b"x", end_of_stream=True, end_of_stream_without_message=True),
    ],
)
def test_other_fields_are_left_to_protobuf(body: ext_proc.HttpBody) -> None:
    assert find_body(ext_proc.ProcessingRequest(request_body=body).SerializeToString()) is None


def test_a_second_phase_behind_the_first_is_left_to_protobuf() -> None:
    other = ext_proc.ProcessingRequest(response_headers=ext_proc.HttpHeaders(end_of_stream=True))
    assert read_tail(other.SerializeToString()) is None
    assert read_tail(b"\x42\x05") is None


def test_a_tail_tells_modes_subset_and_who_served() -> None:
    message = ext_proc.ProcessingRequest(
        protocol_config=ext_proc.ProtocolConfiguration(request_body_mode=FULL, response_body_mode=STREAMED)
    )
    spaces = message.metadata_context.filter_metadata
    spaces["envoy.lb.subset_hint"].update({"x-gateway-destination-endpoint-subset": "10.0.0.1:8000, 10.0.0.2"})
    spaces["envoy.lb"].update({"x-gateway-destination-endpoint-served": "10.0.0.2:8000"})
    expected = Tail((FULL, STREAMED), ("10.0.0.1:8000", "10.0.0.2"), "10.0.0.2:8000")
    assert read_tail(message.SerializeToString()) == expected
    spaces["envoy.lb"].update({"padding": "x" * 2000})  # too long to be remembered
    assert read_tail(message.SerializeToString()) == expected


@given(st.sampled_from(sorted(READ_IN_REQUESTS.names)), st.data())
def test_a_wanted_header_is_found_whatever_its_letters_cases(name: bytes, data: st.DataObject) -> None:
    key = "".join(data.draw(st.sampled_from((letter.lower(), letter.upper()))) for letter in name.decode())
    unwanted = base_pb2.HeaderValue(key=f"{key}{'-' * 32}", raw_value=b"no")  # alike in what is looked at first
    wanted = base_pb2.HeaderValue(key=key, raw_value=b"yes")
    head = ext_proc.HttpHeaders(headers=base_pb2.HeaderMap(headers=[unwanted, wanted]))
    message = ext_proc.ProcessingRequest(request_headers=head).SerializeToString()
    assert find_headers(message, READ_IN_REQUESTS) == ({name: b"yes"}, len(message), False)
