"""RFC 9113 section 8 on fields, RFC 7541 on blocks, and the cache that must never lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from signalbox.wire import ErrorCode
from signalbox.wire.errors import ConnectionFault, MalformedHeaders, StreamFault
from signalbox.wire.frames import CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS_ACK, frame, settings
from signalbox.wire.header_blocks import HeaderDecoder, encode_fields
from signalbox.wire.header_rules import Field, request_head, trailer_fields

if TYPE_CHECKING:
    from tests.wire.conftest import RawPeer

GET = ((b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/"))


class TestRequests:  # sections 8.2 and 8.3
    def test_pseudo_headers_are_sorted_from_the_fields(self) -> None:
        head = request_head((*GET, (b":authority", b"a"), (b"x", b"1"), (b"x", b"2"), (b"content-length", b"5")))
        assert (head.method, head.scheme, head.path, head.authority) == (b"GET", b"https", b"/", b"a")
        assert head.fields == ((b"x", b"1"), (b"x", b"2"), (b"content-length", b"5"))
        assert head.first[b"x"] == b"1"
        assert head.content_length == 5

    @pytest.mark.parametrize("missing", [0, 1, 2])
    def test_method_scheme_and_path_are_needed(self, missing: int) -> None:
        with pytest.raises(MalformedHeaders):
            request_head(GET[:missing] + GET[missing + 1 :])

    @pytest.mark.parametrize(
        "extra",
        [
            (b":method", b"GET"),
            (b":status", b"200"),
            (b":protocol", b"websocket"),
            (b":authority", b"user@host"),
            (b":authority", b"a\nb"),
            (b"Upper", b"1"),
            (b"", b"1"),
            (b"with space", b"1"),
            (b"with:colon", b"1"),
            (b"\x7f", b"1"),
            (b"\xe9", b"1"),
            (b"x", b"a\r\nb"),
            (b"x", b"nul\x00"),
            (b"x", b" led"),
            (b"x", b"trailed\t"),
            (b"connection", b"close"),
            (b"proxy-connection", b"close"),
            (b"keep-alive", b"1"),
            (b"transfer-encoding", b"chunked"),
            (b"upgrade", b"h2c"),
            (b"te", b"gzip"),
            (b"content-length", b"-1"),
            (b"content-length", b"1,1"),
        ],
    )
    def test_malformed_fields(self, extra: Field) -> None:
        with pytest.raises(MalformedHeaders):
            request_head((*GET, extra))

    @pytest.mark.parametrize(
        "fields",
        [
            (GET[0], GET[1], (b":path", b"")),
            (GET[0], GET[1], (b":path", b"relative")),
            (GET[0], GET[1], (b":path", b"*")),
            ((b"x", b"1"), *GET),
            (*GET, (b":authority", b"a"), (b"host", b"b")),
            (*GET, (b"content-length", b"1"), (b"content-length", b"2")),
            ((b":method", b"CONNECT"), (b":authority", b"a:1"), (b":path", b"/")),
            ((b":method", b"CONNECT"),),
        ],
    )
    def test_malformed_sections(self, fields: tuple[Field, ...]) -> None:
        with pytest.raises(MalformedHeaders):
            request_head(fields)

    @pytest.mark.parametrize(
        "fields",
        [
            ((b":method", b"OPTIONS"), GET[1], (b":path", b"*")),
            ((b":method", b"CONNECT"), (b":authority", b"a:1")),
            (*GET, (b"te", b"trailers"), (b"x", b""), (b"!#$%&'*+-.^_`|~09az", b"\xff")),
            (*GET, (b":authority", b"a"), (b"host", b"a")),
        ],
    )
    def test_well_formed_sections(self, fields: tuple[Field, ...]) -> None:
        assert request_head(fields).method == fields[0][1]

    def test_trailers_hold_no_pseudo_headers(self) -> None:
        assert trailer_fields([(b"x", b"1")]) == ((b"x", b"1"),)
        with pytest.raises(MalformedHeaders):
            trailer_fields([(b":path", b"/")])


@given(st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=300)), max_size=5))
def test_our_blocks_mean_what_was_put_in(fields: list[Field]) -> None:
    assert Decoder(max_header_list_size=10_000).decode(encode_fields(fields), raw=True) == fields


class TestDecoding:
    def decoder(self, limit: int = 10_000) -> HeaderDecoder:
        """A decoder whose peer has acknowledged and applied our table size."""
        decoder = HeaderDecoder(limit)
        decoder.settings_acknowledged()
        decoder.fields(1, b"\x20")
        return decoder

    def test_equal_blocks_share_a_head_once_blocks_are_self_contained(self) -> None:
        decoder = self.decoder()
        block = encode_fields(GET)
        assert decoder.self_contained
        assert decoder.request(1, block) is decoder.request(3, block)

    def test_before_that_equal_blocks_may_mean_different_things(self) -> None:
        decoder = HeaderDecoder(10_000)
        encoder = Encoder()
        decoder.request(1, encoder.encode([*GET, ("a", "1")]))
        indexed = encoder.encode([*GET, ("a", "1")])  # the last field is entry 62 of the dynamic table
        assert decoder.request(3, indexed).first == {b"a": b"1"}
        decoder.request(5, encoder.encode([*GET, ("b", "2")]))  # which is now b: 2
        assert decoder.request(7, indexed).first == {b"b": b"2"}
        assert not decoder.self_contained

    def test_an_acknowledgement_alone_is_not_enough(self) -> None:
        decoder = HeaderDecoder(10_000)
        decoder.settings_acknowledged()
        with pytest.raises(ConnectionFault) as caught:  # RFC 7541 section 4.2: the next block must shrink the table
            decoder.request(1, encode_fields(GET))
        assert caught.value.code == ErrorCode.COMPRESSION_ERROR

    def test_a_table_shrunk_before_the_acknowledgement_may_grow_again(self) -> None:
        decoder = HeaderDecoder(10_000)
        decoder.fields(1, b"\x20")
        assert not decoder.self_contained
        decoder.fields(3, b"\x3f\xe1\x1f")  # back to 4096

    def test_a_table_shrunk_for_good_may_not(self) -> None:
        with pytest.raises(ConnectionFault):
            self.decoder().fields(1, b"\x3f\xe1\x1f")

    def test_a_malformed_head_is_not_remembered(self) -> None:
        decoder = self.decoder()
        for stream in (1, 3):
            with pytest.raises(MalformedHeaders):
                decoder.request(stream, encode_fields(GET[:1]))

    def test_more_different_heads_than_the_cache_holds(self) -> None:
        decoder = self.decoder()
        for n in range(300):
            block = encode_fields((*GET, (b"n", str(n).encode())))
            assert decoder.request(1, block).first == {b"n": str(n).encode()}

    @pytest.mark.parametrize(
        "block", [b"\x80", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x00\x05ab", b"\xc6", b"\x00\x81\xff"]
    )
    def test_what_is_not_hpack_costs_the_connection(self, block: bytes) -> None:
        with pytest.raises(ConnectionFault) as caught:
            self.decoder().fields(1, block)
        assert caught.value.code == ErrorCode.COMPRESSION_ERROR
        assert caught.value.reason == "a header block is not HPACK", "the peer learns nothing about our memory"

    def test_a_list_over_the_limit_costs_the_stream_or_the_connection_if_it_leaves_a_table_behind(self) -> None:
        bomb = b"\x82" * 100  # 100 times ":method: GET", 42 bytes each as section 6.5.2 counts
        with pytest.raises(StreamFault) as stream:
            self.decoder(limit=4000).fields(5, bomb)
        assert (stream.value.stream_id, stream.value.code) == (5, ErrorCode.ENHANCE_YOUR_CALM)
        with pytest.raises(ConnectionFault) as connection:
            HeaderDecoder(4000).fields(5, bomb)
        assert connection.value.code == ErrorCode.ENHANCE_YOUR_CALM

    @given(st.binary(max_size=200), st.booleans())
    def test_any_bytes_decode_or_fault(self, block: bytes, acknowledged: bool) -> None:
        decoder = self.decoder() if acknowledged else HeaderDecoder(10_000)
        try:
            decoder.request(1, block)
        except (ConnectionFault, StreamFault, MalformedHeaders):
            pass
        else:
            assert decoder.request(3, block) == decoder.request(5, block)


class TestOnAConnection:
    def test_a_late_block_still_feeds_the_table(self, raw_peer: Callable[..., RawPeer]) -> None:  # section 4.3
        peer = raw_peer()
        encoder = Encoder()
        peer.send(PREFACE, settings(()))
        head = encoder.encode([*GET, ("x", "1")])
        peer.send(frame(HEADERS, END_HEADERS, 1, head))
        peer.connection.reset(peer.connection.streams[1], ErrorCode.CANCEL)
        late = encoder.encode([("late", "trailer")])
        peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, late))
        peer.send(frame(HEADERS, END_HEADERS, 3, encoder.encode([*GET[:2], (":path", "/3"), ("late", "trailer")])))
        assert peer.events[-1] == ("request", 3, b"/3")

    def test_the_table_is_gone_after_our_settings_were_acknowledged(self, raw_peer: Callable[..., RawPeer]) -> None:
        peer = raw_peer()
        encoder = Encoder()
        peer.send(PREFACE, settings(()), frame(HEADERS, END_HEADERS, 1, encoder.encode([*GET, ("x", "1")])))
        encoder.header_table_size = 0
        again = encoder.encode([*GET[:2], (":path", "/again"), ("x", "1")])
        peer.send(SETTINGS_ACK, frame(HEADERS, END_HEADERS, 3, again))
        assert [event[2] for event in peer.events] == [b"/", b"/again"]

    def test_a_block_over_the_limit_is_given_up_before_it_ends(self, raw_peer: Callable[..., RawPeer]) -> None:
        peer = raw_peer(header_list_bytes=20_000).greet()
        flood = [frame(HEADERS, 0, 1, bytes(15_000)), frame(CONTINUATION, 0, 1, bytes(6_000))]
        assert peer.goaway(*flood) == ErrorCode.ENHANCE_YOUR_CALM
