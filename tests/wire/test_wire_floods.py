"""What is legal once is answered with ENHANCE_YOUR_CALM when it comes in floods."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.wire import ErrorCode, Limits
from signalbox.wire import frames as f
from signalbox.wire.allowance import Allowance
from signalbox.wire.frames import frame, goaway, ping, rst_stream, settings, window_update
from signalbox.wire.header_blocks import encode_fields

if TYPE_CHECKING:
    from tests.wire.conftest import RawPeer

REQUEST = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/p"))
CONTROLS = {
    "SETTINGS": settings(()),
    "SETTINGS acknowledgement": f.SETTINGS_ACK,
    "PING": ping(bytes(8)),
    "PRIORITY": frame(f.PRIORITY, 0, 1, bytes(5)),
    "WINDOW_UPDATE": window_update(0, 1),
    "GOAWAY": goaway(0, 0),
    "empty DATA": frame(f.DATA, 0, 1),
    "DATA of padding": frame(f.DATA, f.PADDED, 1, b"\x03" + bytes(3)),
    "unknown type": frame(0x42, 0, 0),
}


@pytest.mark.parametrize("flood", CONTROLS.values(), ids=CONTROLS)
def test_control_frames(raw_peer: Callable[..., RawPeer], flood: bytes) -> None:
    peer = raw_peer(control_burst=50, controls_per_second=10).greet()
    peer.request()
    peer.send(flood * 45)
    assert not peer.connection.finished
    assert peer.goaway(flood * 20) == ErrorCode.ENHANCE_YOUR_CALM


def test_control_frames_at_an_allowed_rate_go_on_for_ever(raw_peer: Callable[..., RawPeer]) -> None:
    peer = raw_peer(control_burst=50, controls_per_second=10).greet()
    for second in range(100):
        peer.now = second
        peer.send(ping(bytes(8)) * 9)
    assert not peer.connection.finished


def test_late_frames_on_closed_streams(raw_peer: Callable[..., RawPeer]) -> None:
    peer = raw_peer(control_burst=50).greet()
    peer.request()
    peer.send(rst_stream(1, 8))
    assert peer.goaway(frame(f.DATA, 0, 1, b"x") * 60) == ErrorCode.ENHANCE_YOUR_CALM


def rapid_reset(peer: RawPeer, streams: range) -> bytes:
    return b"".join(peer.head(stream) + rst_stream(stream, 8) for stream in streams)


def test_rapid_reset(raw_peer: Callable[..., RawPeer]) -> None:
    peer = raw_peer(reset_burst=20, resets_per_second=1).greet()
    assert peer.goaway(rapid_reset(peer, range(1, 99, 2))) == ErrorCode.ENHANCE_YOUR_CALM
    assert len(peer.events) == 42, "the 21st reset is the last thing done"


def test_resets_that_we_are_provoked_into(raw_peer: Callable[..., RawPeer]) -> None:
    peer = raw_peer(reset_burst=20, resets_per_second=1).greet()
    provoked = b"".join(peer.head(stream) + window_update(stream, 0) for stream in range(1, 99, 2))
    assert peer.goaway(provoked) == ErrorCode.ENHANCE_YOUR_CALM


def test_streams_that_end_well_earn_resets(raw_peer: Callable[..., RawPeer]) -> None:
    peer = raw_peer(reset_burst=2, resets_per_second=0.001).greet()
    for stream in range(1, 99, 4):
        served = peer.request(stream, end=True)
        peer.connection.outbound.headers(served, b"\x88", end_stream=True)
        peer.send(rapid_reset(peer, range(stream + 2, stream + 3)))
    assert not peer.connection.finished


def test_a_proxy_may_end_every_answered_stream_by_a_reset(raw_peer: Callable[..., RawPeer]) -> None:
    peer = raw_peer(reset_burst=2, resets_per_second=0.001).greet()
    for stream in range(1, 99, 2):
        peer.connection.outbound.headers(peer.request(stream), b"\x88")
        peer.send(rst_stream(stream, 8))
    assert not peer.connection.finished


def test_a_crowd_of_disconnects_is_no_attack(raw_peer: Callable[..., RawPeer]) -> None:
    peer = raw_peer().greet()
    peer.send(rapid_reset(peer, range(1, 1999, 2)))
    assert not peer.connection.finished


def test_empty_continuations(raw_peer: Callable[..., RawPeer]) -> None:
    peer = raw_peer().greet()
    flood = frame(f.HEADERS, 0, 1) + frame(f.CONTINUATION, 0, 1) * 100
    assert peer.goaway(flood) == ErrorCode.ENHANCE_YOUR_CALM


def test_settings_are_dearer_with_many_streams_open(raw_peer: Callable[..., RawPeer]) -> None:
    peer = raw_peer(control_burst=100, controls_per_second=1).greet()
    for stream in range(1, 641, 2):
        peer.send(peer.head(stream))
    assert peer.goaway(settings(((f.INITIAL_WINDOW_SIZE, 1),)) * 12) == ErrorCode.ENHANCE_YOUR_CALM


def test_settings_are_dearer_with_many_values(raw_peer: Callable[..., RawPeer]) -> None:
    peer = raw_peer(control_burst=100, controls_per_second=1).greet()
    assert peer.goaway(settings([(99, 1)] * 1700)) == ErrorCode.ENHANCE_YOUR_CALM


def test_large_header_lists_are_dear(raw_peer: Callable[..., RawPeer]) -> None:
    peer = raw_peer(control_burst=100, controls_per_second=1, reset_burst=1000).greet()
    large = encode_fields([*REQUEST, (b"x", b"v" * 10_000)])
    opened = [frame(f.HEADERS, f.END_HEADERS, stream, b"\x20" + large) for stream in range(1, 41, 2)]
    assert peer.goaway(*opened) == ErrorCode.ENHANCE_YOUR_CALM


def test_ordinary_header_lists_cost_nothing(raw_peer: Callable[..., RawPeer]) -> None:
    peer = raw_peer(control_burst=8, controls_per_second=0.001).greet()
    for stream in range(1, 401, 2):
        peer.request(stream)
    assert not peer.connection.finished


def test_a_busy_peer_may_send_control_frames_in_proportion(raw_peer: Callable[..., RawPeer]) -> None:
    peer = raw_peer(control_burst=20, controls_per_second=0.001).greet()
    for stream in range(1, 2001, 2):
        peer.request(stream)
        peer.send(window_update(0, 1) * 8)
    assert not peer.connection.finished
    assert peer.goaway(ping(bytes(8)) * 60) == ErrorCode.ENHANCE_YOUR_CALM


@given(st.lists(st.floats(0, 1), max_size=60))
def test_an_allowance_never_passes_more_than_twice_its_burst_and_its_rate(gaps: list[float]) -> None:
    bucket = Allowance(burst=5, per_second=2)
    now = 0.0
    passed = 0
    for gap in gaps:
        now += gap
        passed += bucket.spend(now)
    assert passed <= 10 + 2 * now + 1
    assert passed >= min(5, len(gaps))


@pytest.mark.parametrize(
    ("name", "value"),
    [("streams", 0), ("idle_seconds", -1.0), ("frame_bytes", 16_383), ("stream_window_bytes", 2**31)],
)
def test_limits_that_cannot_work_name_their_field(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"Limits.{name} is {value}"):
        Limits(**{name: value})  # type: ignore[arg-type]
