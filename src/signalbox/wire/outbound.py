"""Frames on their way to the peer: what may go now, and what waits for flow control (RFC 9113 section 5.2)."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from struct import Struct
from typing import Final

from signalbox.wire.errors import ConnectionFault, ErrorCode, StreamFault
from signalbox.wire.frames import (
    DATA,
    DEFAULT_FRAME_SIZE,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER,
    HEADERS,
    LARGEST_WINDOW,
    frame_header,
    header_frames,
)
from signalbox.wire.header_blocks import TABLE_SIZE_ZERO
from signalbox.wire.messages import PREFIX, PREFIX_BYTES
from signalbox.wire.octets import NATIVE, OCTETS
from signalbox.wire.stream import Stream

_pack_header = FRAME_HEADER.pack
_pack_prefix = PREFIX.pack
_pack_both: Final = Struct(">HBBBIBI").pack  # `FRAME_HEADER`, then `PREFIX`


def _message_head(stream: Stream) -> bytes:
    """Return what stands between the two lengths at the head of each DATA frame that holds a message."""
    stream.message_head = head = frame_header(0, DATA, 0, stream.id)[3:] + b"\x00"  # not compressed
    return head


class Outbound:
    """Collects the bytes of one connection.

    Body goes out at once while the stream's and the connection's windows allow; the rest waits in its stream's queue.
    Streams with window of their own stand in line for the connection's and take turns, one frame each; a stream without
    stands nowhere and costs nothing until its WINDOW_UPDATE. ``closed`` hears of each END_STREAM that goes out,
    ``drained`` of each stream marked ``withheld`` whose queue has emptied.
    """

    __slots__ = (
        "_chunks",
        "_closed",
        "_drained",
        "_in_line",
        "_table_size_due",
        "answered",
        "frame_size",
        "initial_window",
        "queued_bytes",
        "window",
    )

    def __init__(self, closed: Callable[[Stream], None], drained: Callable[[Stream], None]) -> None:
        self._closed = closed
        self._drained = drained
        self._chunks: list[bytes | memoryview] = []
        self._in_line: OrderedDict[int, Stream] = OrderedDict()
        self._table_size_due = False
        self.answered = 0
        """How many responses have begun, those not counted that hold nothing but their head."""
        self.window = DEFAULT_WINDOW
        self.initial_window = DEFAULT_WINDOW
        """SETTINGS_INITIAL_WINDOW_SIZE of the peer."""
        self.frame_size = DEFAULT_FRAME_SIZE
        """SETTINGS_MAX_FRAME_SIZE of the peer."""
        self.queued_bytes = 0
        """Body that waits for a window, over all streams."""

    @property
    def in_line(self) -> int:
        """How many streams wait for the connection's window."""
        return len(self._in_line)

    def take(self) -> bytes:
        """Return everything that may be written now, and forget it."""
        chunks = self._chunks
        if not chunks:
            return b""
        self._chunks = []
        return b"".join(chunks)

    def put(self, frame: bytes) -> None:
        """Add a frame that flow control does not concern."""
        self._chunks.append(frame)

    def table_size_changed(self) -> None:
        """The peer set SETTINGS_HEADER_TABLE_SIZE: our next block says that our table holds nothing.

        RFC 7541 section 4.2 asks for this even though our blocks never use the table.
        """
        self._table_size_due = True

    def headers(self, stream: Stream, block: bytes, end_stream: bool = False) -> None:
        """Add a response's header block; with ``end_stream`` it is the whole response."""
        self._chunks.append(self._header_frames(stream, block, end_stream))
        stream.answered = True
        if end_stream:
            stream.local_open = False
            self._closed(stream)
        else:
            self.answered += 1

    def message(self, stream: Stream, message: bytes, now: float) -> None:
        """Add a gRPC message as body: its prefix and its bytes."""
        length = len(message)
        size = length + PREFIX_BYTES
        if size <= stream.send_window and size <= self.window and size <= self.frame_size and not stream.queue:
            stream.send_window -= size
            self.window -= size
            if NATIVE:
                head = b"%b%b%b%b%b%b%b%b" % (
                    OCTETS[size >> 16],
                    OCTETS[size >> 8 & 0xFF],
                    OCTETS[size & 0xFF],
                    stream.message_head or _message_head(stream),
                    OCTETS[length >> 24],
                    OCTETS[length >> 16 & 0xFF],
                    OCTETS[length >> 8 & 0xFF],
                    OCTETS[length & 0xFF],
                )
            else:
                head = _pack_both(size >> 8, size & 0xFF, DATA, 0, stream.id, 0, length)
            self._chunks.append(head)
            self._chunks.append(message)
        else:
            self.data(stream, _pack_prefix(0, length) + message, now)

    def data(self, stream: Stream, payload: bytes, now: float) -> None:
        """Add body. What the windows do not allow yet waits."""
        size = len(payload)
        if size <= stream.send_window and size <= self.window and size <= self.frame_size and not stream.queue:
            stream.send_window -= size
            self.window -= size
            self._chunks.append(_pack_header(size >> 8, size & 0xFF, DATA, 0, stream.id))
            self._chunks.append(payload)
            return
        if stream.queue is None:
            stream.queue = deque()
        if not stream.queue:
            stream.stalled_since = now
        stream.queue.append(memoryview(payload))
        stream.queued_bytes += size
        self.queued_bytes += size
        self._line_up(stream)
        self.move(now)

    def trailers(self, stream: Stream, block: bytes) -> None:
        """End the stream with trailers, after all body that still waits."""
        if stream.queue:
            stream.trailer_block = block
        else:
            self._chunks.append(self._header_frames(stream, block, True))
            stream.local_open = False
            self._closed(stream)

    def forget(self, stream: Stream) -> None:
        """Drop what waits on a stream that is gone."""
        if stream.queue:
            self.queued_bytes -= stream.queued_bytes
            stream.queued_bytes = 0
            stream.queue.clear()
            self._in_line.pop(stream.id, None)
        stream.trailer_block = None

    def widen_connection(self, increment: int, now: float) -> None:
        """Apply a WINDOW_UPDATE on stream 0; raises `ConnectionFault` FLOW_CONTROL_ERROR above 2^31-1."""
        if self.window + increment > LARGEST_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "connection window over 2147483647")
        self.window += increment
        self.move(now)

    def widen(self, stream: Stream, increment: int, now: float) -> None:
        """Apply a WINDOW_UPDATE on a stream; raises `StreamFault` FLOW_CONTROL_ERROR above 2^31-1."""
        if stream.send_window + increment > LARGEST_WINDOW:
            raise StreamFault(stream.id, ErrorCode.FLOW_CONTROL_ERROR, "window over 2147483647")
        stream.send_window += increment
        if stream.queue:
            self._line_up(stream)
            self.move(now)

    def change_initial_window(self, size: int, streams: Iterable[Stream], now: float) -> None:
        """Apply SETTINGS_INITIAL_WINDOW_SIZE to all open streams (section 6.9.2); their windows may become negative."""
        change = size - self.initial_window
        self.initial_window = size
        for stream in streams:
            if stream.send_window + change > LARGEST_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE overflows a window")
            stream.send_window += change
            if stream.queue:
                if stream.send_window <= 0:
                    self._in_line.pop(stream.id, None)  # it stood in line with the window it had before
                self._line_up(stream)
        self.move(now)

    def move(self, now: float) -> None:
        """Send what waits, as far as the windows reach: one frame of each stream in line, in turns."""
        in_line = self._in_line
        while in_line and self.window > 0:
            stream_id, stream = in_line.popitem(last=False)
            self._send_frame(stream)
            stream.stalled_since = now
            if stream.queue:
                if stream.send_window > 0:
                    in_line[stream_id] = stream
            elif stream.trailer_block is not None:
                self.trailers(stream, stream.trailer_block)
            elif stream.withheld:
                self._drained(stream)

    def _line_up(self, stream: Stream) -> None:
        """Put a stream that has body waiting in line, unless it must wait for its own window."""
        if stream.send_window > 0:
            self._in_line.setdefault(stream.id, stream)

    def _send_frame(self, stream: Stream) -> None:
        """Send one DATA frame from the head of the queue; small pieces that wait are not merged."""
        assert stream.queue
        head = stream.queue[0]
        size = min(len(head), stream.send_window, self.window, self.frame_size)
        if size == len(head):
            stream.queue.popleft()
        else:
            stream.queue[0] = head[size:]
            head = head[:size]
        stream.send_window -= size
        self.window -= size
        stream.queued_bytes -= size
        self.queued_bytes -= size
        self._chunks.append(_pack_header(size >> 8, size & 0xFF, DATA, 0, stream.id))
        self._chunks.append(head)

    def _header_frames(self, stream: Stream, block: bytes, end_stream: bool) -> bytes:
        if self._table_size_due:
            self._table_size_due = False
            block = TABLE_SIZE_ZERO + block
        size = len(block)
        if size <= self.frame_size:
            flags = END_HEADERS | END_STREAM if end_stream else END_HEADERS
            return frame_header(size, HEADERS, flags, stream.id) + block
        return header_frames(stream.id, block, end_stream, self.frame_size)
