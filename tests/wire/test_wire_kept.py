"""What a connection makes us keep that belongs to no call: heads to be found again, and frames that never end."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from signalbox.wire import ErrorCode, Limits
from signalbox.wire import frames as f
from signalbox.wire.frames import frame
from signalbox.wire.header_blocks import TABLE_SIZE_ZERO, HeaderDecoder, encode_fields

if TYPE_CHECKING:
    from tests.wire.conftest import RawPeer

HEAD = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/x"))
FREE = 8192


@pytest.fixture
def decoder() -> HeaderDecoder:
    """One whose peer has shrunk its table, so that heads are kept."""
    decoder = HeaderDecoder(32768)
    decoder.settings_acknowledged()
    decoder.request(1, TABLE_SIZE_ZERO + encode_fields(HEAD))
    return decoder


def many_fields(number: int, fields: int) -> bytes:
    names = ((b"%x" % n, b"") for n in range(number * 100, number * 100 + fields))
    return encode_fields((*HEAD, *names))


def test_a_head_seen_twice_is_one_object(decoder: HeaderDecoder) -> None:
    block = encode_fields(HEAD)
    assert decoder.request(1, block) is decoder.request(3, bytes(block))
    assert decoder.cached_bytes == 0  # what a gateway needs is not charged


def test_long_lists_in_short_blocks_are_not_kept(decoder: HeaderDecoder) -> None:
    block = many_fields(1, 390)
    assert len(block) < 2048 * 2
    assert decoder.request(1, block) is not decoder.request(3, block)
    assert decoder.cached_bytes == 0


def test_what_kept_heads_cost_is_bounded_and_charged_in_full(decoder: HeaderDecoder) -> None:
    blocks = [many_fields(number, 50) for number in range(200)]
    decoder.request(1, blocks[0])
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    charged = decoder.cached_bytes
    for block in blocks[1:15]:
        decoder.request(1, block)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before <= decoder.cached_bytes - charged + FREE
    most = 0
    for block in blocks:
        decoder.request(1, block)
        most = max(most, decoder.cached_bytes)
    assert 0 < most <= 16 * 10 * 2048
    decoder.forget()
    assert decoder.cached_bytes == 0


def test_they_count_as_what_a_connection_keeps_and_go_with_it(peer: RawPeer) -> None:
    peer.send(peer.head(1, end=True), frame(f.RST_STREAM, 0, 1, bytes(4)))
    for number in range(12):
        stream = 3 + 2 * number
        peer.send(frame(f.HEADERS, f.END_HEADERS, stream, many_fields(number, 50)), f.rst_stream(stream, 8))
    assert not peer.connection.streams
    assert peer.connection.buffered_bytes > 0
    peer.connection.forget_heads()
    assert peer.connection.buffered_bytes == 0


HALVES = {
    "half a frame": frame(f.DATA, 0, 1, bytes(100))[:50],
    "half a frame header": frame(f.DATA, 0, 1, bytes(100))[:5],
    "half a header block": frame(f.HEADERS, 0, 3, b"\x82"),
}


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES.keys())
def test_a_frame_or_block_that_never_ends_ends_its_connection(raw_peer: Callable[..., RawPeer], half: bytes) -> None:
    peer = raw_peer().greet()
    peer.request(1)
    peer.now = 10.0
    peer.send(half)
    peer.connection.cut_half_sent(69.9, 60)
    assert not peer.connection.finished
    peer.now = 50.0
    peer.send(half[-1:] if half[3] == f.DATA and len(half) == 50 else b"")  # more of it is not the end of it
    peer.connection.cut_half_sent(70.0, 60)
    fault = peer.connection.fault
    assert fault is not None
    assert (fault.code, peer.connection.streams) == (ErrorCode.ENHANCE_YOUR_CALM, {})


def test_frame_after_frame_cut_in_two_is_no_offence(peer: RawPeer) -> None:
    peer.request(1)
    ping = frame(f.PING, 0, 0, bytes(8))
    peer.send(ping[:5])
    for peer.now in range(10, 200, 10):
        peer.send(ping[5:], ping[:5])
        peer.connection.cut_half_sent(peer.now, Limits().message_seconds)
    assert peer.connection.fault is None
