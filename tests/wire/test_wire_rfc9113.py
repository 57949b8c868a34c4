"""Requirements of RFC 9113 on a server that the tests of the single frames do not say already, by section.

The transport page lists every requirement with its test; `test_wire_requirements` holds that list to the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hpack import Decoder, Encoder

from signalbox.wire import Call, ErrorCode, Limits, Receiver
from signalbox.wire import frames as f
from signalbox.wire.frames import frame, ping, rst_stream, settings, window_update
from signalbox.wire.header_blocks import encode_fields
from signalbox.wire.session import GrpcSession

if TYPE_CHECKING:
    from tests.wire.conftest import RawPeer

STATUS = encode_fields(((b":status", b"200"),))
UNDEFINED = {f.DATA: 0xF6, f.PRIORITY: 0xFF, f.RST_STREAM: 0xFF, f.SETTINGS: 0xFE, f.PING: 0xFE, f.WINDOW_UPDATE: 0xFF}
"""Flags without meaning for each type."""


class TestSection3:
    def test_the_clients_first_settings_are_acknowledged_after_ours(self, raw_peer: Callable[..., RawPeer]) -> None:
        sent = raw_peer().send(f.PREFACE, settings(()))
        assert [(a.kind, a.flags) for a in sent] == [(f.SETTINGS, 0), (f.WINDOW_UPDATE, 0), (f.SETTINGS, f.ACK)]

    def test_requests_may_come_before_our_settings_are_read(self, raw_peer: Callable[..., RawPeer]) -> None:
        peer = raw_peer()
        peer.send(f.PREFACE, settings(()), peer.head(1))
        assert peer.events == [("request", 1, b"/test.Echo/Echo")]


class TestSection4:
    def test_flags_without_meaning_are_ignored(self, peer: RawPeer) -> None:
        peer.request(1)
        peer.send(frame(f.PRIORITY, UNDEFINED[f.PRIORITY], 1, bytes(5)))
        peer.send(frame(f.DATA, UNDEFINED[f.DATA], 1, b"hello"))
        peer.send(frame(f.WINDOW_UPDATE, UNDEFINED[f.WINDOW_UPDATE], 1, b"\0\0\0\1"))
        assert peer.events[-1] == ("data", 1, b"hello")
        assert peer.connection.streams[1].remote_open
        (answer,) = peer.send(frame(f.PING, UNDEFINED[f.PING], 0, bytes(8)))
        assert answer.flags == f.ACK
        (answer,) = peer.send(frame(f.SETTINGS, UNDEFINED[f.SETTINGS], 0))
        assert answer.flags == f.ACK
        assert peer.send(frame(f.RST_STREAM, UNDEFINED[f.RST_STREAM], 1, bytes(4))) == []
        assert ("aborted", 1, 0) in peer.events

    def test_flags_without_meaning_on_a_header_block_are_ignored(self, peer: RawPeer) -> None:
        block = peer.head(1)[9:]
        peer.send(frame(f.HEADERS, 0xD2, 1, block[:5]), frame(f.CONTINUATION, 0xFF, 1, block[5:]))
        assert peer.events == [("request", 1, b"/test.Echo/Echo")]

    def test_we_send_no_flag_without_meaning_and_no_reserved_bit(self, peer: RawPeer) -> None:
        stream = peer.request(1, end=True)
        peer.connection.outbound.headers(stream, STATUS)
        peer.connection.outbound.data(stream, b"body", 0.0)
        peer.connection.outbound.trailers(stream, STATUS)
        peer.connection.ping()
        peer.connection.drain()
        sent = peer.send(settings(()), ping(bytes(8)), peer.head(3), window_update(3, 0))
        defined = {f.DATA: 1, f.HEADERS: 5, f.SETTINGS: 1, f.PING: 1, f.CONTINUATION: 4}
        assert {a.kind for a in sent} == {f.HEADERS, f.DATA, f.PING, f.GOAWAY, f.SETTINGS, f.RST_STREAM}
        assert all(a.flags & ~defined.get(a.kind, 0) == 0 for a in sent)
        assert all(a.stream < 2**31 for a in sent)

    def test_frames_of_2_to_the_14_are_taken_even_with_nothing_announced(
        self, raw_peer: Callable[..., RawPeer]
    ) -> None:
        peer = raw_peer(frame_bytes=16_384).greet()
        peer.request(1)
        peer.send(frame(f.DATA, 0, 1, bytes(16_384)))
        assert peer.events[-1] == ("data", 1, bytes(16_384))

    def test_our_frames_grow_only_when_the_peer_allows_it(self, peer: RawPeer) -> None:
        stream = peer.request()
        peer.connection.outbound.data(stream, bytes(20_000), 0.0)
        assert max(len(a.payload) for a in peer.frames()) == 16_384
        peer.send(settings(((f.MAX_FRAME_SIZE, 18_000),)))
        peer.connection.outbound.data(stream, bytes(20_000), 0.0)
        assert max(len(a.payload) for a in peer.frames()) == 18_000

    def test_a_block_that_cannot_be_decoded_ends_the_connection(self, peer: RawPeer) -> None:
        assert peer.goaway(frame(f.HEADERS, f.END_HEADERS, 1, b"\x80")) == ErrorCode.COMPRESSION_ERROR

    def test_also_one_that_would_be_thrown_away(self, peer: RawPeer) -> None:
        peer.connection.reset(peer.request(1), ErrorCode.CANCEL)
        assert peer.goaway(frame(f.HEADERS, f.END_HEADERS, 1, b"\x80")) == ErrorCode.COMPRESSION_ERROR

    def test_a_table_that_was_not_shrunk_after_the_acknowledgement_is_an_error(
        self, raw_peer: Callable[..., RawPeer]
    ) -> None:
        peer = raw_peer()
        peer.send(f.PREFACE, settings(()), f.SETTINGS_ACK)
        block = encode_fields(((b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/")))
        assert peer.goaway(frame(f.HEADERS, f.END_HEADERS, 1, block)) == ErrorCode.COMPRESSION_ERROR

    @pytest.mark.parametrize("updates", [b"\x20" * 3, b"\x3f\x01" * 3, b"\x3f\x81\x00" * 3])
    def test_more_table_size_updates_than_an_encoder_needs_are_an_error(self, peer: RawPeer, updates: bytes) -> None:
        assert peer.goaway(frame(f.HEADERS, f.END_HEADERS, 1, updates)) == ErrorCode.COMPRESSION_ERROR


class TestSection5:
    @pytest.mark.parametrize(
        "wrong",
        [frame(f.DATA, 0, 4, b"x"), rst_stream(4, 0), window_update(4, 1)],
        ids=["DATA", "RST", "WINDOW_UPDATE"],
    )
    def test_streams_of_the_server_are_idle_for_ever(self, peer: RawPeer, wrong: bytes) -> None:
        peer.request(5)
        assert peer.goaway(wrong) == ErrorCode.PROTOCOL_ERROR

    def test_priority_is_taken_in_every_state(self, peer: RawPeer) -> None:
        priority = [frame(f.PRIORITY, 0, stream, bytes(5)) for stream in (1, 3, 5, 7, 8)]
        peer.request(1)
        peer.request(3, end=True)
        peer.request(5)
        peer.send(rst_stream(5, 8))
        assert peer.send(*priority) == []
        assert not peer.connection.finished

    def test_a_skipped_id_is_closed(self, peer: RawPeer) -> None:
        peer.request(5)
        assert peer.send(rst_stream(3, 8), window_update(3, 1)) == []
        assert peer.rst(frame(f.DATA, 0, 3, b"x")) == ErrorCode.STREAM_CLOSED
        assert peer.goaway(peer.head(1)) == ErrorCode.PROTOCOL_ERROR

    def test_a_reset_is_never_answered_by_a_reset(self, peer: RawPeer) -> None:
        peer.request(1)
        peer.request(3, end=True)
        assert peer.send(rst_stream(1, 8) * 3, rst_stream(3, 8) * 3) == []

    def test_window_updates_after_the_end_of_a_stream_are_no_error(self, peer: RawPeer) -> None:
        stream = peer.request(1, end=True)
        peer.connection.outbound.headers(stream, STATUS, end_stream=True)
        peer.frames()
        assert peer.send(window_update(1, 2**31 - 1), window_update(1, 2**31 - 1), window_update(1, 0)) == []

    def test_the_first_error_of_a_stream_is_the_only_one_reported(self, peer: RawPeer) -> None:
        peer.request(1)
        wrong = [window_update(1, 0), frame(f.PRIORITY, 0, 1, bytes(5)), frame(f.DATA, 0, 1, b"x")]
        assert peer.rst(*wrong, window_update(1, 0)) == ErrorCode.PROTOCOL_ERROR


class TestSection6:
    @pytest.mark.parametrize("kind", [f.DATA, f.HEADERS, f.PRIORITY, f.RST_STREAM, f.CONTINUATION])
    def test_frames_of_streams_need_a_stream(self, peer: RawPeer, kind: int) -> None:
        sizes = {f.PRIORITY: 5, f.RST_STREAM: 4}
        assert peer.goaway(frame(kind, f.END_HEADERS, 0, bytes(sizes.get(kind, 1)))) == ErrorCode.PROTOCOL_ERROR

    def test_a_continuation_on_stream_0_does_not_continue_a_block(self, peer: RawPeer) -> None:
        assert peer.goaway(frame(f.HEADERS, 0, 1), frame(f.CONTINUATION, 4, 0)) == ErrorCode.PROTOCOL_ERROR

    def test_a_finished_block_is_not_continued(self, peer: RawPeer) -> None:
        assert peer.goaway(peer.head(1), frame(f.CONTINUATION, 4, 1)) == ErrorCode.PROTOCOL_ERROR

    def test_padding_longer_than_a_header_frame_is_an_error(self, peer: RawPeer) -> None:
        flags = f.PADDED | f.END_HEADERS
        assert peer.goaway(frame(f.HEADERS, flags, 1, b"\x03" + bytes(2))) == ErrorCode.PROTOCOL_ERROR

    def test_nothing_is_sent_on_a_stream_that_was_reset(self, peer: RawPeer) -> None:
        peer.send(settings(((f.INITIAL_WINDOW_SIZE, 2),)))
        stream = peer.request(1)
        peer.connection.outbound.headers(stream, STATUS)
        peer.connection.outbound.data(stream, b"waits", 0.0)
        peer.connection.outbound.trailers(stream, STATUS)
        peer.frames()
        assert peer.send(rst_stream(1, 8), window_update(0, 100), settings(((f.INITIAL_WINDOW_SIZE, 99),)))[1:] == []

    def test_settings_are_applied_in_order_before_they_are_acknowledged(self, peer: RawPeer) -> None:
        stream = peer.request()
        (answer,) = peer.send(settings(((f.INITIAL_WINDOW_SIZE, 2**31), (f.INITIAL_WINDOW_SIZE, 5))))
        assert answer.kind == f.GOAWAY, "the first value was wrong, though the last is right"
        assert stream.send_window == 65_535

    def test_a_window_that_shrinks_while_its_body_stands_in_line_is_waited_for(self, peer: RawPeer) -> None:
        stream = peer.request(1)
        filler = peer.request(3)
        peer.connection.outbound.data(filler, bytes(65_535), 0.0)
        peer.connection.outbound.data(stream, bytes(100), 0.0)
        peer.frames()
        peer.send(settings(((f.INITIAL_WINDOW_SIZE, 0),)), settings(((f.INITIAL_WINDOW_SIZE, 10),)))
        peer.send(settings(((f.INITIAL_WINDOW_SIZE, 0),)))
        assert peer.send(window_update(0, 1000)) == []
        (sent,) = peer.send(window_update(1, 40))
        assert (sent.kind, sent.stream, len(sent.payload)) == (f.DATA, 1, 40)

    def test_settings_leave_the_connections_window_alone(self, peer: RawPeer) -> None:
        peer.send(settings(((f.INITIAL_WINDOW_SIZE, 1_000_000),)))
        stream = peer.request()
        peer.connection.outbound.data(stream, bytes(100_000), 0.0)
        assert sum(len(a.payload) for a in peer.frames()) == 65_535

    def test_data_in_error_counts_for_the_connections_window(self, raw_peer: Callable[..., RawPeer]) -> None:
        peer = raw_peer(connection_window_bytes=65_535).greet()
        peer.request(1, end=True)
        sent = peer.send(frame(f.DATA, 0, 1, bytes(40_000)))
        assert [(a.kind, a.stream, a.number) for a in sent] == [
            (f.WINDOW_UPDATE, 0, 40_000),
            (f.RST_STREAM, 1, ErrorCode.STREAM_CLOSED),
        ]

    def test_the_last_stream_told_never_grows(self, peer: RawPeer) -> None:
        peer.request(1)
        peer.connection.drain()
        _, probe = peer.frames()
        (told,) = peer.send(ping(probe.payload, ack=True))
        assert peer.rst(peer.head(9)) == ErrorCode.REFUSED_STREAM
        peer.connection.close()
        (again,) = peer.frames()
        assert (told.number, again.number) == (1, 1)

    def test_a_stream_refused_while_leaving_still_feeds_the_table(self, raw_peer: Callable[..., RawPeer]) -> None:
        peer = raw_peer()
        encoder = Encoder()
        get = [(":method", "GET"), (":scheme", "http"), (":path", "/")]
        peer.send(f.PREFACE, settings(()), frame(f.HEADERS, f.END_HEADERS, 1, encoder.encode(get)))
        peer.connection.drain()
        peer.send(ping(b"draining", ack=True))
        refused = frame(f.HEADERS, f.END_HEADERS, 3, encoder.encode([*get, ("x", "1")]))
        assert peer.rst(refused) == ErrorCode.REFUSED_STREAM
        trailers = frame(f.HEADERS, f.END_HEADERS | f.END_STREAM, 1, encoder.encode([("x", "1")]))
        peer.send(trailers)
        assert peer.events[-2] == ("trailers", 1, ((b"x", b"1"),))


class TestSection7:
    @pytest.mark.parametrize("code", [0xE, 0xFF, 2**32 - 1])
    def test_unknown_error_codes_are_errors_like_any_other(self, peer: RawPeer, code: int) -> None:
        peer.request(1)
        assert peer.send(rst_stream(1, code), f.goaway(0, code)) == []
        assert peer.events[-1] == ("aborted", 1, code)
        assert peer.connection.fault is None


class TestSection8:
    def test_content_length_is_checked_before_trailers_too(self, peer: RawPeer) -> None:
        fields = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/p"), (b"content-length", b"3"))
        trailers = frame(f.HEADERS, f.END_HEADERS | f.END_STREAM, 1, encode_fields(((b"x", b"1"),)))
        assert peer.rst(peer.head(1, fields=fields), frame(f.DATA, 0, 1, b"ab"), trailers) == ErrorCode.PROTOCOL_ERROR

    @pytest.mark.parametrize("name", [b"Upper", b"with:colon", b"nul\0", b"connection"])
    def test_trailers_keep_the_rules_of_fields(self, peer: RawPeer, name: bytes) -> None:
        peer.request()
        trailers = frame(f.HEADERS, f.END_HEADERS | f.END_STREAM, 1, encode_fields(((name, b"1"),)))
        assert peer.rst(trailers) == ErrorCode.PROTOCOL_ERROR

    def test_padding_does_not_count_as_content(self, peer: RawPeer) -> None:
        fields = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/p"), (b"content-length", b"2"))
        peer.send(peer.head(1, fields=fields), frame(f.DATA, f.PADDED | f.END_STREAM, 1, b"\x04ab" + bytes(4)))
        assert peer.events[-1] == ("ended", 1)

    def test_a_refused_stream_has_reached_nobody(self, raw_peer: Callable[..., RawPeer]) -> None:
        peer = raw_peer(streams=1).greet()
        peer.request(1)
        peer.rst(peer.head(3) + frame(f.DATA, 0, 3, b"x"))
        assert peer.events == [("request", 1, b"/test.Echo/Echo")]


class TestResponses:  # section 8.3.2
    @pytest.mark.parametrize(
        ("method", "path", "content_type", "status"),
        [
            (b"POST", b"/s/Finish", b"application/grpc", b"200"),
            (b"POST", b"/s/Answer", b"application/grpc", b"200"),
            (b"POST", b"/s/Unknown", b"application/grpc", b"200"),
            (b"POST", b"/s/Finish", b"text/html", b"415"),
            (b"GET", b"/s/Finish", b"application/grpc", b"405"),
            (b"CONNECT", b"", b"application/grpc", b"405"),
        ],
    )
    def test_each_begins_with_a_status_and_its_names_are_lower_case(
        self, peer: RawPeer, method: bytes, path: bytes, content_type: bytes, status: bytes
    ) -> None:
        def answer(call: Call) -> Receiver:
            if call.method == "/s/Answer":
                call.send(b"message")
            call.finish(5, "nothing here")
            return Silent()

        session = GrpcSession({"/s/Finish": answer, "/s/Answer": answer}, Limits(), lambda *_: NoTimer(), lambda: None)
        peer.connection = session.connection
        peer.greet()
        target = ((b":authority", b"a:1"),) if method == b"CONNECT" else ((b":scheme", b"http"), (b":path", path))
        sent = peer.send(peer.head(1, True, ((b":method", method), *target, (b"content-type", content_type))))
        decoder = Decoder()
        head, *trailers = [list(decoder.decode(a.payload, raw=True)) for a in sent if a.kind == f.HEADERS]
        assert head[0] == (b":status", status)
        names = [name for block in (head[1:], *trailers) for name, _ in block]
        assert all(name[:1] != b":" and name == name.lower() for name in names)
        assert sent[-1].flags & f.END_STREAM


class Silent:
    def message(self, data: bytes) -> None:
        pass

    def half_closed(self) -> None:
        pass

    def cancelled(self) -> None:
        pass


class NoTimer:
    def cancel(self) -> None:
        pass
