"""The ``h2`` library as an independent peer: it must agree with us on every byte, however the bytes are cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from h2 import events as h2_events
from h2.config import H2Configuration
from h2.connection import H2Connection
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.wire import HTTP2Connection, Limits, Stream
from signalbox.wire.frames import PREFACE
from signalbox.wire.header_blocks import encode_fields
from signalbox.wire.stream import Exchange

if TYPE_CHECKING:
    from tests.wire.conftest import Event, RawPeer

HEAD = [(":method", "POST"), (":scheme", "http"), (":path", "/p"), (":authority", "a")]

steps = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.integers(0, 300), st.booleans()),
        st.tuples(
            st.just("data"), st.integers(0, 5), st.integers(0, 3000), st.booleans(), st.none() | st.integers(0, 255)
        ),
        st.tuples(st.just("trailers"), st.integers(0, 5)),
        st.tuples(st.just("reset"), st.integers(0, 5)),
        st.tuples(st.just("ping")),
        st.tuples(st.just("window"), st.integers(0, 5), st.integers(1, 9000)),
        st.tuples(st.just("settings"), st.integers(0, 5000), st.integers(0, 4096)),
        st.tuples(st.just("answer"), st.integers(0, 5), st.integers(0, 9000), st.booleans()),
    ),
    max_size=40,
)


class Conversation:
    """An h2 client and our server, joined by a wire that one side may cut anywhere."""

    def __init__(self) -> None:
        self.client = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self.server = HTTP2Connection(self._accept, Limits())
        self.events: list[Event] = []
        self.sent = b""
        self.heard: dict[int, int] = {}
        self.said: dict[int, int] = {}
        self.opened: list[int] = []
        self.client.initiate_connection()

    def _accept(self, stream: Stream, head: Any) -> Any:
        conversation = self

        class Recorder(Exchange):
            def data(self, buffer: bytes, start: int, end: int) -> None:
                conversation.events.append(("data", stream.id, buffer[start:end]))

            def trailers(self, fields: object) -> None:
                conversation.events.append(("trailers", stream.id, fields))

            def ended(self) -> None:
                conversation.events.append(("ended", stream.id))

            def aborted(self, code: int) -> None:
                conversation.events.append(("aborted", stream.id, code))

        self.events.append(("request", stream.id, head.fields))
        return Recorder()

    def exchange(self) -> None:
        """Carry bytes both ways until both sides are quiet; h2 raises `ProtocolError` for what we may not send."""
        while True:
            for event in self.client.receive_data(self.server.take()):
                if isinstance(event, h2_events.DataReceived):
                    self.heard[event.stream_id] = self.heard.get(event.stream_id, 0) + len(event.data)
            outgoing = self.client.data_to_send()
            if not outgoing:
                return
            self.sent += outgoing
            self.server.receive(outgoing, 0.0)

    def play(self, step: tuple[Any, ...]) -> None:
        kind, *rest = step
        if kind == "open":
            number = self.client.get_next_available_stream_id()
            extra = [("x-padding", "p" * rest[0]), ("te", "trailers")]
            self.client.send_headers(number, HEAD + extra, end_stream=rest[1])
            self.opened.append(number)
        elif kind == "ping":
            self.client.ping(b"12345678")
        elif kind == "settings":
            self.client.update_settings({0x4: rest[0], 0x1: rest[1]})
        elif rest[0] < len(self.opened):
            self._play_on(self.opened[rest[0]], kind, rest[1:])

    def _play_on(self, number: int, kind: str, rest: list[Any]) -> None:
        """Do what the state of the stream allows; h2 would break its own state over the rest."""
        stream = self.server.streams.get(number)
        if stream is None:
            return
        if kind == "data" and stream.remote_open:
            self.client.send_data(number, b"d" * rest[0], end_stream=rest[1], pad_length=rest[2])
        elif kind == "trailers" and stream.remote_open:
            self.client.send_headers(number, [("checksum", "1")], end_stream=True)
        elif kind == "reset":
            self.client.reset_stream(number, 8)
        elif kind == "window":
            self.client.increment_flow_control_window(rest[0], number)
            self.client.increment_flow_control_window(rest[0])
        elif kind == "answer" and stream.trailer_block is None:
            self._answer(stream, *rest)

    def _answer(self, stream: Stream, size: int, end: bool) -> None:
        outbound = self.server.outbound
        if stream.id not in self.said:
            self.said[stream.id] = 0
            outbound.headers(stream, encode_fields(((b":status", b"200"),)))
        outbound.data(stream, bytes(size), 0.0)
        self.said[stream.id] += size
        if end:
            outbound.trailers(stream, encode_fields(((b"grpc-status", b"0"),)))


def converse(script: list[tuple[Any, ...]]) -> Conversation:
    conversation = Conversation()
    conversation.exchange()
    for step in script:
        conversation.play(step)
        conversation.exchange()
    return conversation


@settings(deadline=None)
@given(steps)
def test_h2_never_finds_fault_with_us_nor_we_with_it(script: list[tuple[Any, ...]]) -> None:
    conversation = converse(script)
    assert conversation.server.fault is None
    assert len([event for event in conversation.events if event[0] == "request"]) == len(conversation.opened)
    for stream in conversation.server.streams.values():
        assert conversation.heard.get(stream.id, 0) == conversation.said.get(stream.id, 0) - stream.queued_bytes


@settings(deadline=None)
@given(steps, st.data())
def test_the_same_bytes_mean_the_same_however_they_are_cut(script: list[tuple[Any, ...]], data: st.DataObject) -> None:
    script = [step for step in script if step[0] != "answer"]
    whole = converse(script)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole.sent)), max_size=30)))
    again = Conversation()
    for start, end in zip([0, *cuts], [*cuts, len(whole.sent)], strict=True):
        again.server.receive(whole.sent[start:end], 0.0)
    assert again.events == whole.events
    assert list(again.server.streams) == list(whole.server.streams)


@settings(deadline=None)
@given(steps, st.data())
def test_mutated_traffic_is_survived_and_means_the_same_however_it_is_cut(
    script: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    sent = bytearray(converse(script).sent)
    for place in data.draw(st.lists(st.integers(len(PREFACE), len(sent) - 1), max_size=6)):
        sent[place] = data.draw(st.integers(0, 255))
    once, bytewise = Conversation(), Conversation()
    once.server.receive(bytes(sent), 0.0)
    for byte in sent:
        bytewise.server.receive(bytes((byte,)), 0.0)
    assert bytewise.events == once.events
    assert bytewise.server.take() == once.server.take()
    ended = [event[1] for event in once.events if event[0] == "aborted"]
    assert len(ended) == len(set(ended))


@given(st.binary(max_size=400))
def test_any_bytes_are_survived(raw_peer: Callable[..., RawPeer], noise: bytes) -> None:
    peer = raw_peer().greet()
    peer.request()
    peer.send(noise)
    assert len(peer.connection.streams) == (0 if peer.connection.fault or ("aborted", 1) in ended(peer) else 1)


def ended(peer: RawPeer) -> list[tuple[object, ...]]:
    return [event[:2] for event in peer.events]
