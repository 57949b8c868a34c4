"""RFC 9113 sections 3 to 6: what the connection makes of each frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from signalbox.wire import ErrorCode, Limits
from signalbox.wire import frames as f
from signalbox.wire.control_frames import DRAIN_PING
from signalbox.wire.frames import frame, goaway, ping, rst_stream, settings, window_update
from signalbox.wire.header_blocks import encode_fields

if TYPE_CHECKING:
    from tests.wire.conftest import RawPeer

REQUEST_BLOCK = encode_fields(((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/p")))


class TestPreface:  # section 3.4
    def test_the_server_speaks_first_with_settings_and_a_wide_connection_window(
        self, raw_peer: Callable[..., RawPeer]
    ) -> None:
        first, second = raw_peer(streams=7).frames()
        assert first.kind == f.SETTINGS
        assert dict(f.SETTING.iter_unpack(first.payload)) == {
            f.HEADER_TABLE_SIZE: 0,
            f.MAX_CONCURRENT_STREAMS: 7,
            f.INITIAL_WINDOW_SIZE: Limits().stream_window_bytes,
            f.MAX_FRAME_SIZE: Limits().frame_bytes,
            f.MAX_HEADER_LIST_SIZE: Limits().header_list_bytes,
        }
        assert second.number == Limits().connection_window_bytes - 65_535

    def test_another_protocol_is_turned_away_at_its_first_wrong_byte(self, raw_peer: Callable[..., RawPeer]) -> None:
        assert raw_peer().goaway(b"GET ") == ErrorCode.PROTOCOL_ERROR

    def test_the_preface_may_come_byte_by_byte(self, raw_peer: Callable[..., RawPeer]) -> None:
        peer = raw_peer()
        for byte in f.PREFACE + settings(()):
            assert not peer.connection.established
            peer.send(bytes((byte,)))
        assert peer.connection.established

    @pytest.mark.parametrize("first", [ping(b"12345678"), f.SETTINGS_ACK, window_update(0, 1), frame(0xEE, 0, 0)])
    def test_settings_must_follow_the_preface(self, raw_peer: Callable[..., RawPeer], first: bytes) -> None:
        assert raw_peer().goaway(f.PREFACE, first) == ErrorCode.PROTOCOL_ERROR


class TestFrameSize:  # section 4.2
    def test_a_frame_of_the_announced_size_is_taken(self, peer: RawPeer) -> None:
        peer.request()
        peer.send(frame(f.DATA, 0, 1, bytes(Limits().frame_bytes)))
        assert peer.events[-1] == ("data", 1, bytes(Limits().frame_bytes))

    def test_a_longer_one_is_refused_by_its_header_alone(self, peer: RawPeer) -> None:
        header = f.FRAME_HEADER.pack(1 << 8, 1, f.DATA, 0, 1)
        assert peer.goaway(header) == ErrorCode.FRAME_SIZE_ERROR

    @pytest.mark.parametrize(
        "wrong",
        [
            frame(f.PRIORITY, 0, 3, bytes(4)),
            frame(f.RST_STREAM, 0, 1, bytes(3)),
            frame(f.SETTINGS, 0, 0, bytes(5)),
            frame(f.SETTINGS, f.ACK, 0, bytes(6)),
            frame(f.PING, 0, 0, bytes(7)),
            frame(f.GOAWAY, 0, 0, bytes(7)),
            frame(f.WINDOW_UPDATE, 0, 0, bytes(5)),
            frame(f.DATA, f.PADDED, 1),
            frame(f.HEADERS, f.PADDED | f.END_HEADERS, 3),
            frame(f.HEADERS, f.PRIORITY_FLAG | f.END_HEADERS, 3, bytes(4)),
        ],
        ids=lambda wrong: f"type {wrong[3]} flags {wrong[4]:#x}",
    )
    def test_fixed_sizes_are_kept(self, peer: RawPeer, wrong: bytes) -> None:
        peer.request()
        assert peer.goaway(wrong) == ErrorCode.FRAME_SIZE_ERROR

    def test_a_priority_frame_of_wrong_size_costs_only_its_stream(self, peer: RawPeer) -> None:
        peer.request()
        assert peer.rst(frame(f.PRIORITY, 0, 1, bytes(4))) == ErrorCode.FRAME_SIZE_ERROR


class TestStreamStates:  # section 5.1
    def test_idle_open_half_closed_closed(self, peer: RawPeer) -> None:
        stream = peer.request()
        peer.send(frame(f.DATA, 0, 1, b"ab"), frame(f.DATA, f.END_STREAM, 1, b"c"))
        assert (stream.remote_open, stream.local_open) == (False, True)
        peer.connection.outbound.headers(stream, b"\x88", end_stream=True)
        assert 1 not in peer.connection.streams
        assert peer.events == [("request", 1, b"/test.Echo/Echo"), ("data", 1, b"ab"), ("data", 1, b"c"), ("ended", 1)]

    @pytest.mark.parametrize(
        "early",
        [frame(f.DATA, 0, 1, b"x"), rst_stream(1, 0), window_update(1, 1)],
        ids=["DATA", "RST", "WINDOW_UPDATE"],
    )
    def test_only_headers_and_priority_reach_an_idle_stream(self, peer: RawPeer, early: bytes) -> None:
        assert peer.goaway(early) == ErrorCode.PROTOCOL_ERROR

    @pytest.mark.parametrize("late", [frame(f.DATA, 0, 1, b"x"), frame(f.HEADERS, f.END_HEADERS, 1, REQUEST_BLOCK)])
    def test_after_end_stream_the_peer_may_send_no_more_on_it(self, peer: RawPeer, late: bytes) -> None:
        peer.request(end=True)
        assert peer.rst(late) == ErrorCode.STREAM_CLOSED
        assert peer.events[-1] == ("aborted", 1, ErrorCode.STREAM_CLOSED)

    def test_window_update_and_rst_are_fine_when_half_closed(self, peer: RawPeer) -> None:
        peer.request(end=True)
        assert peer.send(window_update(1, 5), rst_stream(1, 8)) == []
        assert peer.events[-1] == ("aborted", 1, 8)

    def test_data_on_a_stream_the_peer_reset_is_answered_stream_closed(self, peer: RawPeer) -> None:
        peer.request()
        peer.send(rst_stream(1, 8))
        assert peer.rst(frame(f.DATA, 0, 1, b"x"), frame(f.DATA, 0, 1, b"x")) == ErrorCode.STREAM_CLOSED

    def test_headers_on_a_stream_that_ended_end_the_connection(self, peer: RawPeer) -> None:
        stream = peer.request(end=True)
        peer.connection.outbound.headers(stream, b"\x88", end_stream=True)
        assert peer.goaway(frame(f.HEADERS, f.END_HEADERS, 1, REQUEST_BLOCK)) == ErrorCode.STREAM_CLOSED

    def test_what_was_under_way_to_a_stream_we_reset_is_ignored(self, peer: RawPeer) -> None:
        stream = peer.request()
        peer.connection.reset(stream, ErrorCode.CANCEL)
        peer.frames()
        late = frame(f.DATA, 0, 1, b"x") + frame(f.HEADERS, f.END_HEADERS | f.END_STREAM, 1, REQUEST_BLOCK)
        assert peer.send(late, rst_stream(1, 8), window_update(1, 9)) == []
        assert len(peer.events) == 1

    def test_an_answer_that_ends_early_asks_the_peer_to_stop(self, peer: RawPeer) -> None:  # section 8.1
        stream = peer.request()
        peer.connection.outbound.headers(stream, b"\x88", end_stream=True)
        answer, stop = peer.frames()
        assert (answer.kind, answer.flags) == (f.HEADERS, f.END_HEADERS | f.END_STREAM)
        assert (stop.kind, stop.number) == (f.RST_STREAM, ErrorCode.NO_ERROR)


class TestStreamIds:  # section 5.1.1
    @pytest.mark.parametrize("stream", [0, 2])
    def test_clients_use_odd_ids(self, peer: RawPeer, stream: int) -> None:
        assert peer.goaway(peer.head(stream)) == ErrorCode.PROTOCOL_ERROR

    def test_ids_grow(self, peer: RawPeer) -> None:
        peer.request(5)
        assert peer.goaway(peer.head(3)) == ErrorCode.PROTOCOL_ERROR

    def test_the_reserved_bit_is_ignored(self, peer: RawPeer) -> None:
        head = bytearray(peer.head(1))
        head[5] |= 0x80
        peer.send(bytes(head))
        assert peer.events == [("request", 1, b"/test.Echo/Echo")]


def test_streams_beyond_the_limit_are_refused_and_can_be_retried(raw_peer: Callable[..., RawPeer]) -> None:  # 5.1.2
    peer = raw_peer(streams=1).greet()
    peer.request(1)
    assert peer.rst(peer.head(3)) == ErrorCode.REFUSED_STREAM
    peer.send(rst_stream(1, 8))
    peer.request(5)


def test_unknown_frames_are_ignored_but_not_inside_a_header_block(peer: RawPeer) -> None:  # sections 5.5 and 4.3
    assert peer.send(frame(0x7F, 0xFF, 9, b"?")) == []
    started = frame(f.HEADERS, 0, 1, REQUEST_BLOCK)
    assert peer.goaway(started, frame(0x7F, 0, 1)) == ErrorCode.PROTOCOL_ERROR


class TestData:  # section 6.1
    def test_padding_is_removed(self, peer: RawPeer) -> None:
        peer.request()
        peer.send(frame(f.DATA, f.PADDED, 1, b"\x03hello" + bytes(3)), frame(f.DATA, f.PADDED, 1, b"\x00hi"))
        assert peer.events[1:] == [("data", 1, b"hello"), ("data", 1, b"hi")]

    def test_padding_longer_than_the_frame_is_an_error(self, peer: RawPeer) -> None:
        peer.request()
        assert peer.goaway(frame(f.DATA, f.PADDED, 1, b"\x04" + bytes(3))) == ErrorCode.PROTOCOL_ERROR

    def test_data_on_stream_0_is_an_error(self, peer: RawPeer) -> None:
        assert peer.goaway(frame(f.DATA, 0, 0, b"x")) == ErrorCode.PROTOCOL_ERROR


class TestHeaders:  # sections 6.2 and 6.10
    def test_padding_and_priority_are_removed(self, peer: RawPeer) -> None:
        flags = f.END_HEADERS | f.PADDED | f.PRIORITY_FLAG
        peer.send(frame(f.HEADERS, flags, 1, b"\x02" + bytes(5) + b"\x20" + REQUEST_BLOCK + bytes(2)))
        assert peer.events == [("request", 1, b"/p")]

    def test_a_block_may_be_continued(self, peer: RawPeer) -> None:
        block = b"\x20" + REQUEST_BLOCK
        peer.send(frame(f.HEADERS, f.END_STREAM, 1, block[:3]), frame(f.CONTINUATION, 0, 1, block[3:9]))
        assert peer.events == []
        peer.send(frame(f.CONTINUATION, f.END_HEADERS, 1, block[9:]))
        assert peer.events == [("request", 1, b"/p"), ("ended", 1)]

    @pytest.mark.parametrize(
        "other", [frame(f.CONTINUATION, f.END_HEADERS, 3), frame(f.DATA, 0, 1, b"x"), ping(bytes(8))]
    )
    def test_nothing_may_interrupt_a_block(self, peer: RawPeer, other: bytes) -> None:
        peer.request(1)
        started = frame(f.HEADERS, 0, 5, REQUEST_BLOCK)
        assert peer.goaway(started, other) == ErrorCode.PROTOCOL_ERROR

    def test_continuation_needs_headers(self, peer: RawPeer) -> None:
        assert peer.goaway(frame(f.CONTINUATION, f.END_HEADERS, 1)) == ErrorCode.PROTOCOL_ERROR

    def test_trailers_end_the_request(self, peer: RawPeer) -> None:  # section 8.1
        peer.request()
        trailers = encode_fields(((b"checksum", b"7"),))
        peer.send(frame(f.HEADERS, f.END_HEADERS | f.END_STREAM, 1, trailers))
        assert peer.events[1:] == [("trailers", 1, ((b"checksum", b"7"),)), ("ended", 1)]

    def test_trailers_must_end_the_stream(self, peer: RawPeer) -> None:
        peer.request()
        trailers = encode_fields(((b"checksum", b"7"),))
        assert peer.rst(frame(f.HEADERS, f.END_HEADERS, 1, trailers)) == ErrorCode.PROTOCOL_ERROR

    def test_trailers_hold_no_pseudo_headers(self, peer: RawPeer) -> None:
        peer.request()
        again = frame(f.HEADERS, f.END_HEADERS | f.END_STREAM, 1, REQUEST_BLOCK)
        assert peer.rst(again) == ErrorCode.PROTOCOL_ERROR

    def test_a_malformed_request_costs_only_its_stream(self, peer: RawPeer) -> None:  # section 8.1.1
        assert peer.rst(peer.head(1, fields=((b":method", b"POST"),))) == ErrorCode.PROTOCOL_ERROR
        assert peer.events == []


class TestContentLength:  # section 8.1.1
    def head(self, peer: RawPeer, length: bytes, end: bool = False) -> bytes:
        fields = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/p"), (b"content-length", length))
        return peer.head(1, end, fields)

    def test_a_body_of_that_length_is_taken(self, peer: RawPeer) -> None:
        peer.send(self.head(peer, b"3"), frame(f.DATA, 0, 1, b"ab"), frame(f.DATA, f.END_STREAM, 1, b"c"))
        assert peer.events[-1] == ("ended", 1)

    @pytest.mark.parametrize("body", [frame(f.DATA, f.END_STREAM, 1, b"ab"), frame(f.DATA, 0, 1, b"abcd")])
    def test_another_is_malformed(self, peer: RawPeer, body: bytes) -> None:
        assert peer.rst(self.head(peer, b"3"), body) == ErrorCode.PROTOCOL_ERROR

    def test_no_body_at_all_is_malformed(self, peer: RawPeer) -> None:
        assert peer.rst(self.head(peer, b"3", end=True)) == ErrorCode.PROTOCOL_ERROR


class TestPriorityAndPush:
    def test_priority_is_ignored_even_on_idle_streams(self, peer: RawPeer) -> None:  # section 6.3
        assert peer.send(frame(f.PRIORITY, 0, 9, bytes(5))) == []
        peer.request(1)

    def test_priority_belongs_to_a_stream(self, peer: RawPeer) -> None:
        assert peer.goaway(frame(f.PRIORITY, 0, 0, bytes(5))) == ErrorCode.PROTOCOL_ERROR

    def test_clients_do_not_push(self, peer: RawPeer) -> None:  # section 8.4
        assert peer.goaway(frame(f.PUSH_PROMISE, f.END_HEADERS, 1, bytes(4))) == ErrorCode.PROTOCOL_ERROR


class TestSettings:  # section 6.5
    def test_each_is_acknowledged(self, peer: RawPeer) -> None:
        assert [(a.kind, a.flags) for a in peer.send(settings(()), settings(((99, 1),)))] == [(f.SETTINGS, f.ACK)] * 2

    def test_they_belong_to_the_connection(self, peer: RawPeer) -> None:
        assert peer.goaway(frame(f.SETTINGS, 0, 1)) == ErrorCode.PROTOCOL_ERROR

    @pytest.mark.parametrize(
        ("name", "value", "code"),
        [
            (f.ENABLE_PUSH, 2, ErrorCode.PROTOCOL_ERROR),
            (f.INITIAL_WINDOW_SIZE, 2**31, ErrorCode.FLOW_CONTROL_ERROR),
            (f.MAX_FRAME_SIZE, 16_383, ErrorCode.PROTOCOL_ERROR),
            (f.MAX_FRAME_SIZE, 2**24, ErrorCode.PROTOCOL_ERROR),
        ],
    )
    def test_forbidden_values(self, peer: RawPeer, name: int, value: int, code: ErrorCode) -> None:
        assert peer.goaway(settings(((name, value),))) == code

    def test_a_header_table_size_is_confirmed_in_the_next_block(self, peer: RawPeer) -> None:  # RFC 7541 section 4.2
        stream = peer.request(end=True)
        peer.send(settings(((f.HEADER_TABLE_SIZE, 0),)))
        peer.connection.outbound.headers(stream, b"\x88")
        peer.connection.outbound.trailers(stream, b"\x89")
        assert [sent.payload for sent in peer.frames()] == [b"\x20\x88", b"\x89"]

    def test_our_long_blocks_are_continued_within_the_peers_frame_size(self, peer: RawPeer) -> None:
        stream = peer.request(end=True)
        peer.connection.outbound.headers(stream, bytes(40_000), end_stream=True)
        sent = peer.frames()
        assert [(a.kind, a.flags, len(a.payload)) for a in sent] == [
            (f.HEADERS, f.END_STREAM, 16_384),
            (f.CONTINUATION, 0, 16_384),
            (f.CONTINUATION, f.END_HEADERS, 7_232),
        ]


class TestPing:  # section 6.7
    def test_it_comes_back(self, peer: RawPeer) -> None:
        (answer,) = peer.send(ping(b"abcdefgh"))
        assert (answer.kind, answer.flags, answer.payload) == (f.PING, f.ACK, b"abcdefgh")

    def test_an_acknowledgement_is_not_answered(self, peer: RawPeer) -> None:
        assert peer.send(ping(b"abcdefgh", ack=True)) == []

    def test_it_belongs_to_the_connection(self, peer: RawPeer) -> None:
        assert peer.goaway(frame(f.PING, 0, 1, bytes(8))) == ErrorCode.PROTOCOL_ERROR


class TestGoaway:  # section 6.8
    def test_a_leaving_peer_gets_its_answers_and_then_the_end(self, peer: RawPeer) -> None:
        stream = peer.request(end=True)
        peer.send(goaway(0, 0))
        assert not peer.connection.finished
        peer.connection.outbound.headers(stream, b"\x88", end_stream=True)
        assert peer.connection.finished

    def test_it_belongs_to_the_connection(self, peer: RawPeer) -> None:
        assert peer.goaway(frame(f.GOAWAY, 0, 1, bytes(8))) == ErrorCode.PROTOCOL_ERROR

    def test_an_error_names_the_last_stream_and_aborts_all(self, peer: RawPeer) -> None:
        peer.request(1)
        peer.request(3)
        (last,) = peer.send(frame(f.PUSH_PROMISE, 0, 1, bytes(4)))
        assert int.from_bytes(last.payload[:4], "big") == 3
        assert last.payload[8:] == b"PUSH_PROMISE from a client"
        assert peer.events[2:] == [("aborted", 1, 1), ("aborted", 3, 1)]

    def test_nothing_is_heard_after_it(self, peer: RawPeer) -> None:
        peer.goaway(frame(f.PUSH_PROMISE, 0, 1, bytes(4)))
        assert peer.send(peer.head(1)) == []
        assert peer.events == []


class TestDrain:  # section 6.8
    def test_streams_opened_within_one_round_trip_are_served(self, peer: RawPeer) -> None:
        peer.connection.drain()
        notice, probe = peer.frames()
        assert (notice.kind, int.from_bytes(notice.payload[:4], "big")) == (f.GOAWAY, 2**31 - 1)
        stream = peer.request(1, end=True)
        (final,) = peer.send(ping(probe.payload, ack=True))
        assert (final.kind, int.from_bytes(final.payload[:4], "big")) == (f.GOAWAY, 1)
        assert peer.rst(peer.head(3)) == ErrorCode.REFUSED_STREAM
        peer.connection.outbound.headers(stream, b"\x88", end_stream=True)
        assert peer.connection.finished

    def test_an_unasked_acknowledgement_ends_nothing(self, peer: RawPeer) -> None:
        peer.send(ping(DRAIN_PING, ack=True))
        assert not peer.connection.finished

    def test_a_connection_that_never_began_ends_at_once(self, raw_peer: Callable[..., RawPeer]) -> None:
        peer = raw_peer()
        peer.connection.drain()
        assert peer.connection.finished

    def test_close_aborts_every_stream_once(self, peer: RawPeer) -> None:
        peer.request()
        peer.connection.close()
        peer.connection.close()
        peer.connection.lost()
        assert [sent.kind for sent in peer.frames()] == [f.GOAWAY]
        assert peer.events[1:] == [("aborted", 1, ErrorCode.NO_ERROR)]


def test_a_connection_lost_aborts_every_stream(peer: RawPeer) -> None:
    peer.request(1)
    peer.request(3, end=True)
    peer.connection.lost()
    code = ErrorCode.CONNECT_ERROR
    assert peer.events[-2:] == [("aborted", 1, code), ("aborted", 3, code)]
    assert not peer.connection.streams
