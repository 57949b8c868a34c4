"""A peer made of bare frames, for tests that say exactly what goes over the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from signalbox.wire.connection import HTTP2Connection
from signalbox.wire.frames import (
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER,
    GOAWAY,
    HEADERS,
    PREFACE,
    RST_STREAM,
    SETTINGS_ACK,
    frame,
    settings,
)
from signalbox.wire.header_blocks import encode_fields
from signalbox.wire.header_rules import RequestHead
from signalbox.wire.limits import Limits
from signalbox.wire.stream import Exchange, Stream

Event = tuple[object, ...]
REQUEST = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/test.Echo/Echo"),
    (b":authority", b"picker"),
    (b"content-type", b"application/grpc"),
)


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def number(self) -> int:
        """The 32-bit value that RST_STREAM and WINDOW_UPDATE hold."""
        return int.from_bytes(self.payload[:4], "big")


def split_frames(data: bytes) -> Iterator[Frame]:
    at = 0
    while at < len(data):
        high, low, kind, flags, stream = FRAME_HEADER.unpack_from(data, at)
        end = at + 9 + (high << 8 | low)
        assert end <= len(data), "the last frame is cut short"
        yield Frame(kind, flags, stream, data[at + 9 : end])
        at = end


class Recorder(Exchange):
    """An exchange that writes down what it hears."""

    def __init__(self, stream: Stream, events: list[Event]) -> None:
        self.stream = stream
        self._events = events

    def data(self, buffer: bytes, start: int, end: int) -> None:
        self._events.append(("data", self.stream.id, buffer[start:end]))

    def trailers(self, fields: tuple[tuple[bytes, bytes], ...]) -> None:
        self._events.append(("trailers", self.stream.id, fields))

    def ended(self) -> None:
        self._events.append(("ended", self.stream.id))

    def aborted(self, code: int) -> None:
        self._events.append(("aborted", self.stream.id, code))


@dataclass
class RawPeer:
    """The client's end of one `HTTP2Connection`."""

    limits: Limits
    events: list[Event] = field(default_factory=list)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.connection = HTTP2Connection(self._accept, self.limits)

    def _accept(self, stream: Stream, head: RequestHead) -> Recorder:
        self.events.append(("request", stream.id, head.path))
        return Recorder(stream, self.events)

    def greet(self) -> RawPeer:
        """Exchange prefaces, shrink the header table, and forget about it."""
        self.send(PREFACE + settings(()) + SETTINGS_ACK)
        return self

    def send(self, *data: bytes) -> list[Frame]:
        """Send bytes in one read; return the frames that come back."""
        self.connection.receive(b"".join(data), self.now)
        return self.frames()

    def frames(self) -> list[Frame]:
        return self.parse(self.connection.take())

    @staticmethod
    def parse(data: bytes) -> list[Frame]:
        """Whole frames as the server wrote them."""
        return list(split_frames(data))

    def request(self, stream: int = 1, end: bool = False) -> Stream:
        """Open a stream and return it as the server sees it."""
        self.send(self.head(stream, end))
        return self.connection.streams[stream]

    @staticmethod
    def head(stream: int, end: bool = False, fields: tuple[tuple[bytes, bytes], ...] = REQUEST) -> bytes:
        """The HEADERS frame of a request; resizes the header table, as the first block must."""
        block = b"\x20" + encode_fields(fields)
        return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)

    def goaway(self, *data: bytes) -> int:
        """Send bytes that break a rule of the connection; return the code it is given up with."""
        last = self.send(*data)[-1]
        assert last.kind == GOAWAY
        assert self.connection.finished
        return int.from_bytes(last.payload[4:8], "big")

    def rst(self, *data: bytes) -> int:
        """Send bytes that break a rule of one stream; return the code it is reset with."""
        resets = [f for f in self.send(*data) if f.kind == RST_STREAM]
        assert len(resets) == 1
        assert not self.connection.finished
        return resets[0].number


@pytest.fixture(scope="session")
def raw_peer() -> Callable[..., RawPeer]:
    """Make a peer that has sent nothing yet; keyword arguments are limits."""
    return lambda **limits: RawPeer(Limits(**limits))


@pytest.fixture
def peer() -> RawPeer:
    """A peer whose connection is established."""
    return RawPeer(Limits()).greet()
