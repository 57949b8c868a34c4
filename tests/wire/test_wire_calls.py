"""gRPC calls on a connection without a socket, on a clock that tests move."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hpack import Decoder

from signalbox.wire import Accept, Call, Limits, Receiver, Status
from signalbox.wire import frames as f
from signalbox.wire.frames import frame, rst_stream, settings
from signalbox.wire.messages import PREFIX
from signalbox.wire.session import GrpcSession

if TYPE_CHECKING:
    from tests.wire.conftest import Frame, RawPeer

PATH = b"/test.Echo/Echo"


@dataclass
class Timer:
    seconds: float
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Service:
    """A receiver that writes down what it hears and does as it is told."""

    log: list[object] = field(default_factory=list)
    on_message: Callable[[Call, bytes], None] = lambda call, data: None
    on_half_closed: Callable[[Call], None] = lambda call: None
    calls: list[Call] = field(default_factory=list)

    def accept(self, call: Call) -> Receiver:
        self.calls.append(call)
        self.log.append(call.method)
        return self

    def message(self, data: bytes) -> None:
        self.log.append(data)
        self.on_message(self.calls[-1], data)

    def half_closed(self) -> None:
        self.log.append("half closed")
        self.on_half_closed(self.calls[-1])

    def cancelled(self) -> None:
        self.log.append("cancelled")


class Client:
    """Speaks frames to a session; reads answers as (fields, messages, reset codes)."""

    def __init__(self, peer: RawPeer, accept: Accept, limits: Limits) -> None:
        self.timers: list[Timer] = []
        self.wakes = 0
        self.session = GrpcSession({PATH.decode(): accept}, limits, self._call_later, self._wake)
        self.peer = peer
        self.peer.connection = self.session.connection
        self.peer.greet()
        self._decoder = Decoder()

    def _call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(seconds, callback))
        return self.timers[-1]

    def _wake(self) -> None:
        self.wakes += 1

    def open(self, *extra: tuple[bytes, bytes], end: bool = False, stream: int = 1, **pseudo: bytes) -> list[Frame]:
        fields = [
            (b":method", pseudo.get("method", b"POST")),
            (b":scheme", b"http"),
            (b":path", pseudo.get("path", PATH)),
            (b"content-type", pseudo.get("content_type", b"application/grpc")),
            *extra,
        ]
        return self.send(self.peer.head(stream, end, tuple(fields)))

    def send(self, *data: bytes) -> list[Frame]:
        self.peer.connection.receive(b"".join(data), 0.0)
        return self.frames()

    def frames(self) -> list[Frame]:
        return self.peer.parse(self.session.take())

    def fields(self, sent: list[Frame]) -> dict[bytes, bytes]:
        """The fields of all header blocks in ``sent``."""
        blocks = [self._decoder.decode(a.payload, raw=True) for a in sent if a.kind == f.HEADERS]
        return {bytes(name): bytes(value) for block in blocks for name, value in block}


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def client(raw_peer: Callable[..., RawPeer], service: Service) -> Client:
    return Client(raw_peer(), service.accept, Limits(message_bytes=2000, buffered_bytes=20_000))


def data(*messages: bytes, end: bool = False, stream: int = 1) -> bytes:
    body = b"".join(PREFIX.pack(0, len(m)) + m for m in messages)
    return frame(f.DATA, f.END_STREAM if end else 0, stream, body)


class TestAnswers:
    def test_a_unary_call_leaves_as_headers_message_and_trailers_together(
        self, client: Client, service: Service
    ) -> None:
        service.on_message = lambda call, message: call.send(message.upper())
        service.on_half_closed = lambda call: call.finish()
        client.open()
        answer = client.send(data(b"hi", end=True))
        assert [(a.kind, a.flags) for a in answer] == [(1, f.END_HEADERS), (0, 0), (1, f.END_HEADERS | f.END_STREAM)]
        assert answer[1].payload == PREFIX.pack(0, 2) + b"HI"
        assert client.fields(answer) == {
            b":status": b"200",
            b"content-type": b"application/grpc",
            b"grpc-status": b"0",
        }
        assert service.log == ["/test.Echo/Echo", b"hi", "half closed"]
        assert not client.session.connection.streams

    def test_an_error_before_any_message_is_trailers_only(self, client: Client, service: Service) -> None:
        service.on_half_closed = lambda call: call.finish(Status.NOT_FOUND, "no 100 % “luck”")
        (answer,) = client.open(end=True)
        assert answer.flags == f.END_HEADERS | f.END_STREAM
        fields = client.fields([answer])
        assert (fields[b":status"], fields[b"grpc-status"]) == (b"200", b"5")
        assert fields[b"grpc-message"] == b"no 100 %25 %E2%80%9Cluck%E2%80%9D"

    def test_messages_may_be_sent_long_after_the_read_and_wake_the_socket(
        self, client: Client, service: Service
    ) -> None:
        client.open(end=True)
        before = client.wakes
        service.calls[0].send(b"later")
        service.calls[0].finish()
        assert client.wakes > before
        assert [a.kind for a in client.frames()] == [1, 0, 1]

    def test_after_finish_nothing_is_sent_or_heard(self, client: Client, service: Service) -> None:
        service.on_message = lambda call, message: call.finish()
        client.open()
        client.send(data(b"one", b"two"), data(b"three", end=True))
        service.calls[0].send(b"late")
        service.calls[0].finish(Status.INTERNAL)
        assert client.frames() == []
        assert service.log == ["/test.Echo/Echo", b"one"]

    def test_metadata_is_all_the_client_sent(self, client: Client, service: Service) -> None:
        client.open((b"x-trace", b"1"), (b"x-trace", b"2"))
        assert service.calls[0].metadata == (
            (b"content-type", b"application/grpc"),
            (b"x-trace", b"1"),
            (b"x-trace", b"2"),
        )


class TestRefusals:
    def test_an_unknown_method(self, client: Client, service: Service) -> None:
        fields = client.fields(client.open(path=b"/test.Echo/Nope", end=True))
        assert fields[b"grpc-status"] == b"12"
        assert fields[b"grpc-message"] == b"unknown method /test.Echo/Nope"
        assert service.log == []

    @pytest.mark.parametrize(
        ("pseudo", "status"), [({"content_type": b"application/json"}, b"415"), ({"method": b"GET"}, b"405")]
    )
    def test_what_is_not_grpc(self, client: Client, pseudo: dict[str, bytes], status: bytes) -> None:
        assert client.fields(client.open(end=True, stream=1, **pseudo)) == {b":status": status, b"content-length": b"0"}

    @pytest.mark.parametrize(
        ("wire", "status"),
        [(PREFIX.pack(1, 1) + b"x", b"12"), (PREFIX.pack(7, 1) + b"x", b"13"), (PREFIX.pack(0, 2001), b"8")],
        ids=["compressed", "wrong flag", "too long"],
    )
    def test_messages_it_cannot_take(self, client: Client, service: Service, wire: bytes, status: bytes) -> None:
        client.open()
        answer = client.send(frame(f.DATA, 0, 1, wire))
        assert client.fields(answer)[b"grpc-status"] == status
        assert answer[-1].kind == f.RST_STREAM
        assert service.log == ["/test.Echo/Echo", "cancelled"]

    def test_a_message_cut_short_by_the_end(self, client: Client, service: Service) -> None:
        client.open()
        answer = client.send(frame(f.DATA, f.END_STREAM, 1, PREFIX.pack(0, 5) + b"abc"))
        assert client.fields(answer)[b"grpc-status"] == b"13"
        assert service.log[-1] == "cancelled"

    def test_unfinished_messages_of_one_connection_are_bounded_together(self, client: Client, service: Service) -> None:
        statuses = []
        for stream in range(1, 29, 2):
            client.open(stream=stream)
            answer = client.send(frame(f.DATA, 0, stream, PREFIX.pack(0, 2000) + bytes(1999)))
            statuses += [client.fields(answer)[b"grpc-status"]] if answer else []
        assert statuses == [b"8"] * 5
        assert service.log.count("cancelled") == 5
        assert client.session.holdings.held <= 20_000


@dataclass
class Answering(Service):
    """A service that answers what it cannot take."""

    finishes: bool = True

    def oversized(self, size: int) -> None:
        self.log.append(size)
        self.calls[-1].send(b"too long")
        if self.finishes:
            self.calls[-1].finish()


class TestMessagesOverTheLimit:
    def test_a_service_may_answer_them_itself(self, raw_peer: Callable[..., RawPeer]) -> None:
        service = Answering()
        client = Client(raw_peer(), service.accept, Limits(message_bytes=2000))
        client.open()
        answer = client.send(frame(f.DATA, 0, 1, PREFIX.pack(0, 2001) + b"its beginning"))
        assert client.fields(answer)[b"grpc-status"] == b"0"
        assert PREFIX.pack(0, 8) + b"too long" in [sent.payload for sent in answer]
        assert answer[-1].kind == f.RST_STREAM
        assert service.log == ["/test.Echo/Echo", 2001]
        assert client.session.holdings.held == 0
        assert client.send(frame(f.DATA, f.END_STREAM, 1, b"the rest")) == []

    def test_one_that_only_looks_gets_the_usual_end(self, raw_peer: Callable[..., RawPeer]) -> None:
        service = Answering(finishes=False)
        client = Client(raw_peer(), service.accept, Limits(message_bytes=2000))
        client.open()
        answer = client.send(frame(f.DATA, 0, 1, PREFIX.pack(0, 2001)))
        assert client.fields(answer)[b"grpc-status"] == b"8"
        assert service.log == ["/test.Echo/Echo", 2001, "cancelled"]


class TestMessagesThatTrickle:
    """On a clock that only these tests move: `cut_trickling` is what the shell calls once a second."""

    def look(self, client: Client, now: float) -> dict[bytes, bytes]:
        client.session.cut_trickling(now)
        return client.fields(client.frames())

    def test_one_that_is_not_complete_in_time_ends_its_call(self, client: Client, service: Service) -> None:
        client.open()
        client.send(frame(f.DATA, 0, 1, PREFIX.pack(0, 100) + b"a"))
        assert self.look(client, 10.0) == {}
        client.send(frame(f.DATA, 0, 1, b"b"))
        assert self.look(client, 69.9) == {}
        client.send(frame(f.DATA, 0, 1, b"c"))
        assert self.look(client, 70.0)[b"grpc-status"] == b"4"
        assert service.log == ["/test.Echo/Echo", "cancelled"]
        assert client.session.holdings.held == 0

    def test_a_prefix_that_trickles_counts_too(self, client: Client, service: Service) -> None:
        client.open()
        for now, byte in enumerate(PREFIX.pack(0, 100)[:4]):
            client.send(frame(f.DATA, 0, 1, bytes((byte,))))
            assert self.look(client, float(now)) == {}
        assert self.look(client, 60.0)[b"grpc-status"] == b"4"

    def test_each_message_has_its_own_time(self, client: Client, service: Service) -> None:
        client.open()
        wire = PREFIX.pack(0, 4) + b"body"
        client.send(frame(f.DATA, 0, 1, wire[:7]))
        for now in range(0, 1000, 50):
            assert self.look(client, float(now)) == {}
            client.send(frame(f.DATA, 0, 1, wire[7:] + wire[:7]))
        assert service.log == ["/test.Echo/Echo", *[b"body"] * 20]

    def test_a_call_between_two_messages_may_wait_for_ever(self, client: Client, service: Service) -> None:
        client.open()
        client.send(data(b"one"))
        assert self.look(client, 0.0) == {}
        assert self.look(client, 1e9) == {}

    def test_other_calls_of_the_connection_go_on(self, client: Client, service: Service) -> None:
        client.open(stream=1)
        client.open(stream=3)
        client.send(frame(f.DATA, 0, 1, PREFIX.pack(0, 100)))
        self.look(client, 0.0)
        client.session.cut_trickling(60.0)
        assert {sent.stream for sent in client.frames()} == {1}
        client.send(data(b"two", stream=3))
        assert service.log[-1] == b"two"


class TestCancellation:
    @pytest.mark.parametrize("end", [False, True])
    def test_a_reset_is_heard_once(self, client: Client, service: Service, end: bool) -> None:
        client.open(end=end)
        client.send(rst_stream(1, 8))
        client.session.connection.lost()
        assert service.log.count("cancelled") == 1
        service.calls[0].send(b"too late")
        service.calls[0].finish()
        assert client.frames() == []

    def test_a_lost_connection_is_heard_by_every_call(self, client: Client, service: Service) -> None:
        client.open(stream=1)
        client.open(stream=3)
        client.session.connection.lost()
        assert service.log[-2:] == ["cancelled", "cancelled"]

    def test_a_finished_call_hears_nothing_even_if_its_end_still_waits(self, client: Client, service: Service) -> None:
        client.send(settings(((f.INITIAL_WINDOW_SIZE, 0),)))
        client.open(end=True)
        service.calls[0].send(b"waits")
        service.calls[0].finish()
        client.send(rst_stream(1, 8))
        assert "cancelled" not in service.log

    def test_a_call_that_is_not_read_is_cut_but_not_from_within_send(self, client: Client, service: Service) -> None:
        client.send(settings(((f.INITIAL_WINDOW_SIZE, 0),)))
        client.open()
        for _ in range(24):
            service.calls[0].send(bytes(900))
        assert "cancelled" not in service.log
        (headers, cut) = client.frames()
        assert (headers.kind, cut.kind, cut.number) == (f.HEADERS, f.RST_STREAM, 0xB)
        assert service.log[-1] == "cancelled"
        assert client.session.outbound.queued_bytes == 0


class TestDeadlines:
    def test_a_call_that_takes_longer_ends(self, client: Client, service: Service) -> None:
        client.open((b"grpc-timeout", b"250m"))
        (timer,) = client.timers
        assert timer.seconds == 0.25
        timer.callback()
        assert client.fields(client.frames())[b"grpc-status"] == b"4"
        assert service.log[-1] == "cancelled"

    def test_a_call_that_is_over_stops_its_timer(self, client: Client, service: Service) -> None:
        service.on_half_closed = lambda call: call.finish()
        client.open((b"grpc-timeout", b"1S"), end=True)
        assert client.timers[0].cancelled

    @pytest.mark.parametrize(("timeout", "status"), [(b"0m", b"4"), (b"soon", b"13")])
    def test_no_time_at_all(self, client: Client, service: Service, timeout: bytes, status: bytes) -> None:
        assert client.fields(client.open((b"grpc-timeout", timeout)))[b"grpc-status"] == status
        assert service.log == []


class TestFaultyServices:
    def broken(self, *_: object) -> None:
        raise LookupError("a bug")

    @pytest.mark.parametrize("where", ["on_message", "on_half_closed"])
    def test_an_exception_ends_the_call_alone(
        self, client: Client, service: Service, where: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        setattr(service, where, self.broken)
        client.open()
        client.open(stream=3)
        fields = client.fields(client.send(data(b"x", end=True)))
        assert (fields[b"grpc-status"], fields[b"grpc-message"]) == (b"13", b"internal error")
        assert service.log[-1] == "cancelled"
        assert "a bug" in caplog.text
        assert list(client.session.connection.streams) == [3]

    def test_also_in_accept(self, raw_peer: Callable[..., RawPeer], caplog: pytest.LogCaptureFixture) -> None:
        def accept(call: Call) -> Receiver:
            raise LookupError("a bug")

        client = Client(raw_peer(), accept, Limits())
        assert client.fields(client.open())[b"grpc-status"] == b"13"
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
