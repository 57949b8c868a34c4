"""Headers read and written octet by octet are those that ``struct`` reads and writes, in either form."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.wire import Call, Limits, Receiver
from signalbox.wire import frames as f
from signalbox.wire.form import COMPILED
from signalbox.wire.header_blocks import encode_fields
from signalbox.wire.octets import NATIVE, read_uint24, read_uint32
from signalbox.wire.session import GrpcSession

octets = st.integers(0, 0xFF)


@given(st.integers(0, f.LARGEST_FRAME_SIZE), octets, octets, st.integers(0, f.LARGEST_STREAM_ID))
def test_a_frame_header(size: int, kind: int, flags: int, stream_id: int) -> None:
    header = f.frame_header(size, kind, flags, stream_id)
    assert header == struct.pack(">I", size)[1:] + bytes((kind, flags)) + struct.pack(">I", stream_id)


@given(st.integers(1, f.LARGEST_STREAM_ID), st.integers(0, 2**32 - 1))
def test_a_reset(stream_id: int, code: int) -> None:
    assert f.rst_stream(stream_id, code) == f.frame(f.RST_STREAM, 0, stream_id, struct.pack(">I", code))


@given(st.integers(0, 2**24 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=5))
def test_numbers_are_read_where_they_lie(small: int, large: int, before: bytes) -> None:
    data = before + struct.pack(">II", small, large)
    assert read_uint24(data, len(before) + 1) == small
    assert read_uint32(data, len(before) + 4) == large


def test_a_number_that_is_cut_short_is_none() -> None:
    with pytest.raises(IndexError):
        read_uint24(b"ab", 0)
    with pytest.raises(IndexError):
        read_uint32(b"abcd", 1)


@given(st.integers(1, 2**24).map(lambda half: 2 * half - 1), st.sampled_from((0, 1, 255, 256, 16_379)))
def test_a_message_leaves_behind_its_frame_header_and_its_prefix(stream_id: int, size: int) -> None:
    heard: list[Call] = []

    def accept(call: Call) -> Receiver:
        heard.append(call)
        return Silent()

    session = GrpcSession({"/s/M": accept}, Limits(), lambda *_: NoTimer(), lambda: None)
    fields = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/s/M"), (b"content-type", b"application/grpc"))
    request = f.frame(f.HEADERS, f.END_HEADERS, stream_id, encode_fields(fields))
    session.connection.receive(f.PREFACE + f.settings(()) + request, 0.0)
    session.take()
    for _ in range(2):  # the second finds what the first has written of the stream
        heard[0].send(bytes(size))
        wire = f.frame(f.DATA, 0, stream_id, struct.pack(">BI", 0, size) + bytes(size))
        assert session.take().endswith(wire)


def test_a_form_is_compiled_as_a_whole() -> None:
    assert NATIVE is COMPILED


class Silent:
    def message(self, data: bytes) -> None: ...
    def half_closed(self) -> None: ...
    def cancelled(self) -> None: ...


class NoTimer:
    def cancel(self) -> None: ...
