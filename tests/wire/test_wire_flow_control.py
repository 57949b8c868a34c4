"""RFC 9113 sections 5.2, 6.9: flow control in both directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from signalbox.wire import ErrorCode
from signalbox.wire import frames as f
from signalbox.wire.frames import frame, rst_stream, settings, window_update

if TYPE_CHECKING:
    from tests.wire.conftest import Frame, RawPeer


def body(sent: list[Frame], stream: int = 1) -> bytes:
    return b"".join(a.payload for a in sent if a.kind == f.DATA and a.stream == stream)


class TestReceiving:
    def test_a_stream_is_topped_up_when_half_of_its_window_is_used(self, raw_peer: Callable[..., RawPeer]) -> None:
        peer = raw_peer(stream_window_bytes=100_000).greet()
        peer.request()
        assert peer.send(frame(f.DATA, 0, 1, bytes(50_000))) == []
        (update,) = peer.send(frame(f.DATA, 0, 1, bytes(1)))
        assert (update.stream, update.number) == (1, 50_001)

    def test_the_last_frame_of_a_stream_needs_no_top_up(self, raw_peer: Callable[..., RawPeer]) -> None:
        peer = raw_peer(stream_window_bytes=70_000).greet()
        peer.request()
        assert peer.send(frame(f.DATA, f.END_STREAM, 1, bytes(60_000))) == []

    def test_the_connection_is_topped_up_and_padding_counts(self, raw_peer: Callable[..., RawPeer]) -> None:
        peer = raw_peer(connection_window_bytes=65_536).greet()
        peer.request(1)
        peer.request(3)
        (update,) = peer.send(frame(f.DATA, 0, 1, bytes(32_600)), frame(f.DATA, f.PADDED, 3, b"\xff" + bytes(255)))
        assert (update.stream, update.number) == (0, 32_856)

    def test_data_on_closed_streams_counts_for_the_connection(self, raw_peer: Callable[..., RawPeer]) -> None:
        peer = raw_peer(connection_window_bytes=65_535).greet()
        peer.request(1)
        peer.send(rst_stream(1, 8))
        answers = peer.send(frame(f.DATA, 0, 1, bytes(40_000)))
        assert [(a.kind, a.stream) for a in answers] == [(f.WINDOW_UPDATE, 0), (f.RST_STREAM, 1)]

    def test_a_peer_that_ignores_a_streams_window_loses_the_stream(self, raw_peer: Callable[..., RawPeer]) -> None:
        peer = raw_peer(stream_window_bytes=65_535, frame_bytes=100_000).greet()
        peer.request()
        assert peer.rst(frame(f.DATA, 0, 1, bytes(65_536))) == ErrorCode.FLOW_CONTROL_ERROR

    def test_a_peer_that_ignores_the_connections_window_loses_it(self, raw_peer: Callable[..., RawPeer]) -> None:
        peer = raw_peer(connection_window_bytes=65_535, frame_bytes=100_000).greet()
        peer.request()
        assert peer.goaway(frame(f.DATA, 0, 1, bytes(65_536))) == ErrorCode.FLOW_CONTROL_ERROR


class TestSending:
    def test_body_beyond_the_streams_window_waits_for_it(self, peer: RawPeer) -> None:
        peer.send(settings(((f.INITIAL_WINDOW_SIZE, 10),)))
        stream = peer.request()
        peer.connection.outbound.data(stream, b"0123456789abcdef", 0.0)
        assert body(peer.frames()) == b"0123456789"
        assert body(peer.send(window_update(1, 4))) == b"abcd"
        assert body(peer.send(window_update(1, 4))) == b"ef"

    def test_trailers_wait_behind_the_body(self, peer: RawPeer) -> None:
        peer.send(settings(((f.INITIAL_WINDOW_SIZE, 2),)))
        stream = peer.request(end=True)
        peer.connection.outbound.data(stream, b"abc", 0.0)
        peer.connection.outbound.trailers(stream, b"\x88")
        assert [a.kind for a in peer.frames()] == [f.DATA]
        assert [(a.kind, a.flags) for a in peer.send(window_update(1, 1))] == [
            (f.DATA, 0),
            (f.HEADERS, f.END_HEADERS | f.END_STREAM),
        ]
        assert not peer.connection.streams

    def test_a_slow_reader_holds_only_its_own_streams(self, peer: RawPeer) -> None:
        peer.send(settings(((f.INITIAL_WINDOW_SIZE, 0),)))
        slow = peer.request(1)
        peer.send(settings(((f.INITIAL_WINDOW_SIZE, 0),)))
        quick = peer.request(3)
        peer.send(window_update(3, 1000))
        peer.connection.outbound.data(slow, b"s" * 100, 0.0)
        peer.connection.outbound.data(quick, b"q" * 100, 0.0)
        assert body(peer.frames(), 3) == b"q" * 100

    def test_streams_take_turns_when_the_connections_window_is_short(self, peer: RawPeer) -> None:
        peer.send(settings(((f.INITIAL_WINDOW_SIZE, 200_000),)))
        one, three = peer.request(1), peer.request(3)
        peer.connection.outbound.data(one, bytes(65_535), 0.0)
        peer.frames()
        peer.connection.outbound.data(one, b"1" * 30_000, 0.0)
        peer.connection.outbound.data(three, b"3" * 30_000, 0.0)
        sent = peer.send(window_update(0, 60_000))
        assert [(a.stream, len(a.payload)) for a in sent] == [(1, 16_384), (3, 16_384), (1, 13_616), (3, 13_616)]

    def test_body_is_cut_to_the_peers_frame_size(self, peer: RawPeer) -> None:
        stream = peer.request()
        peer.connection.outbound.data(stream, bytes(40_000), 0.0)
        assert [len(a.payload) for a in peer.frames()] == [16_384, 16_384, 7_232]

    def test_a_reset_stream_gives_up_what_waits(self, peer: RawPeer) -> None:
        peer.send(settings(((f.INITIAL_WINDOW_SIZE, 0),)))
        stream = peer.request()
        peer.connection.outbound.data(stream, bytes(1000), 0.0)
        assert peer.connection.outbound.queued_bytes == 1000
        peer.send(rst_stream(1, 8))
        assert peer.connection.outbound.queued_bytes == 0

    def test_a_stream_that_takes_nothing_is_cut_in_the_end(self, peer: RawPeer) -> None:
        peer.send(settings(((f.INITIAL_WINDOW_SIZE, 0),)))
        stuck, moving = peer.request(1), peer.request(3)
        for stream in (stuck, moving):
            peer.connection.outbound.data(stream, b"abc", 10.0)
        peer.now = 60.0
        peer.send(window_update(3, 1))
        peer.connection.cut_stalled(71.0, patience=60.0)
        (cut,) = peer.frames()
        assert (cut.kind, cut.stream, cut.number) == (f.RST_STREAM, 1, ErrorCode.ENHANCE_YOUR_CALM)
        assert peer.events[-1] == ("aborted", 1, ErrorCode.ENHANCE_YOUR_CALM)


class TestWindowUpdate:  # section 6.9
    def test_zero_on_a_stream_is_an_error_of_the_stream(self, peer: RawPeer) -> None:
        peer.request()
        assert peer.rst(window_update(1, 0)) == ErrorCode.PROTOCOL_ERROR

    def test_zero_on_the_connection_is_an_error_of_the_connection(self, peer: RawPeer) -> None:
        assert peer.goaway(window_update(0, 0)) == ErrorCode.PROTOCOL_ERROR

    def test_a_streams_window_may_not_overflow(self, peer: RawPeer) -> None:  # section 6.9.1
        peer.request()
        assert peer.rst(window_update(1, 2**31 - 1)) == ErrorCode.FLOW_CONTROL_ERROR

    def test_the_connections_window_may_not_overflow(self, peer: RawPeer) -> None:
        assert peer.goaway(window_update(0, 2**31 - 1)) == ErrorCode.FLOW_CONTROL_ERROR


class TestInitialWindowSize:  # section 6.9.2
    def test_a_change_applies_to_open_streams_and_may_make_windows_negative(self, peer: RawPeer) -> None:
        stream = peer.request()
        peer.connection.outbound.data(stream, bytes(100), 0.0)
        peer.frames()
        peer.send(settings(((f.INITIAL_WINDOW_SIZE, 60),)))
        assert stream.send_window == -40
        peer.connection.outbound.data(stream, b"abc", 0.0)
        assert body(peer.send(window_update(1, 40))) == b""
        assert body(peer.send(window_update(1, 2))) == b"ab"

    def test_growth_sets_waiting_body_free(self, peer: RawPeer) -> None:
        peer.send(settings(((f.INITIAL_WINDOW_SIZE, 0),)))
        stream = peer.request()
        peer.connection.outbound.data(stream, b"abc", 0.0)
        assert body(peer.send(settings(((f.INITIAL_WINDOW_SIZE, 3),)))) == b"abc"

    def test_body_set_free_does_not_overtake_the_acknowledgement(self, peer: RawPeer) -> None:  # section 6.5.3
        peer.send(settings(((f.INITIAL_WINDOW_SIZE, 0),)))
        peer.connection.outbound.data(peer.request(), b"abc", 0.0)
        sent = peer.send(settings(((f.INITIAL_WINDOW_SIZE, 3),)))
        assert [(a.kind, a.flags) for a in sent] == [(f.SETTINGS, f.ACK), (f.DATA, 0)]

    def test_it_may_not_overflow_a_stream(self, peer: RawPeer) -> None:
        peer.request()
        peer.send(window_update(1, 2**31 - 1 - 65_535))
        assert peer.goaway(settings(((f.INITIAL_WINDOW_SIZE, 65_536),))) == ErrorCode.FLOW_CONTROL_ERROR

    def test_of_repeated_values_the_last_counts(self, peer: RawPeer) -> None:
        stream = peer.request()
        peer.send(settings(((f.INITIAL_WINDOW_SIZE, 5), (f.INITIAL_WINDOW_SIZE, 7))))
        assert stream.send_window == 7


@given(
    sends=st.lists(st.tuples(st.sampled_from([1, 3, 5]), st.integers(1, 50)), max_size=15),
    grants=st.lists(st.tuples(st.sampled_from([0, 1, 3, 5]), st.integers(1, 40)), max_size=40),
    data=st.data(),
)
def test_windows_are_never_exceeded_and_nothing_is_lost(
    raw_peer: Callable[..., RawPeer], sends: list[tuple[int, int]], grants: list[tuple[int, int]], data: st.DataObject
) -> None:
    peer = raw_peer().greet()
    filler = peer.request(7)
    peer.connection.outbound.data(filler, bytes(65_535), 0.0)  # uses the connection's window up
    peer.send(settings(((f.INITIAL_WINDOW_SIZE, 0),)))
    opened = {9 + 2 * i: peer.request(9 + 2 * i) for i in range(3)}
    name = dict(zip((1, 3, 5), opened, strict=True))
    wanted = dict.fromkeys(opened, b"")
    got = dict.fromkeys(opened, b"")
    window = dict.fromkeys((0, *opened), 0)

    def collect(sent: list[Frame]) -> None:
        for a in sent:
            if a.kind == f.DATA and a.stream in got:
                got[a.stream] += a.payload
                window[a.stream] -= len(a.payload)
                window[0] -= len(a.payload)
                assert window[a.stream] >= 0
                assert window[0] >= 0

    steps: list[tuple[str, int, int]] = data.draw(
        st.permutations([*(("send", *s) for s in sends), *(("grant", *g) for g in grants)])
    )
    for kind, which, amount in steps:
        if kind == "send":
            piece = bytes((len(wanted[name[which]]) + i) % 251 for i in range(amount))
            wanted[name[which]] += piece
            peer.connection.outbound.data(opened[name[which]], piece, 0.0)
            collect(peer.frames())
        else:
            stream = name.get(which, 0)
            window[stream] += amount
            collect(peer.send(window_update(stream, amount)))
    for number, text in got.items():
        assert wanted[number].startswith(text)
        assert window[0] == 0 or window[number] == 0 or text == wanted[number]
    for number in (0, *opened):
        window[number] += 10_000
        collect(peer.send(window_update(number, 10_000)))
    assert got == wanted
    assert peer.connection.outbound.queued_bytes == 0
