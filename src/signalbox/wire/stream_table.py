"""The streams of one connection: opened, fed, ended, and remembered (RFC 9113 sections 5.1 and 8.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from signalbox.wire import frames
from signalbox.wire.allowance import Allowance
from signalbox.wire.errors import ConnectionFault, ErrorCode, MalformedHeaders, StreamFault
from signalbox.wire.frames import END_STREAM, PADDED
from signalbox.wire.header_blocks import HeaderDecoder
from signalbox.wire.header_rules import RequestHead, trailer_fields
from signalbox.wire.limits import Limits
from signalbox.wire.outbound import Outbound
from signalbox.wire.stream import CLOSED, ClosedStreams, Exchange, Stream

Accept = Callable[[Stream, RequestHead], Exchange]

_NO_ERROR: Final = ErrorCode.NO_ERROR

STREAM_COST: Final = 1024
"""Bytes that an open stream costs beside its head: the objects that follow it."""


def unpad(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Return where the content of a padded frame begins and ends (sections 6.1 and 6.2)."""
    if start == end:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "padded frame without its pad length")
    end -= data[start]
    if end <= start:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "padding as long as the frame")
    return start + 1, end


class StreamTable:
    """Applies the frames that concern streams. Methods raise `StreamFault` or `ConnectionFault` for broken rules."""

    def __init__(self, accept: Accept, decoder: HeaderDecoder, limits: Limits) -> None:
        self.open: dict[int, Stream] = {}
        """Open and half-closed streams by id."""
        self.last_id = 0
        """The highest id a client has used."""
        self.accepting = True
        """False: every new stream is refused."""
        self.opened = 0
        """How many requests have been handed out."""
        self.open_bytes = 0
        """What the open streams and their heads cost."""
        self.now = 0.0
        self.outbound = Outbound(self._local_end, self._top_up)
        self._accept = accept
        self._decoder = decoder
        self._most_streams = limits.streams
        self._most_bytes = limits.buffered_bytes
        self._whole_window = limits.connection_window_bytes
        self._whole_stream_window = limits.stream_window_bytes
        self._closed = ClosedStreams()
        self._receive_window = limits.connection_window_bytes
        self._connection_half = limits.connection_window_bytes // 2
        self._stream_half = limits.stream_window_bytes // 2
        self._pressure = limits.buffered_bytes // 2
        self._resets = Allowance(limits.reset_burst, limits.resets_per_second)

    # ---- frames

    def data(self, stream: Stream, flags: int, data: bytes, start: int, end: int) -> bool:
        """Apply DATA on a stream that is open or half-closed; False if the frame brought nothing."""
        self._receive_window -= end - start
        if self._receive_window < self._connection_half:
            self._widen_connection()
        if not stream.remote_open:
            raise StreamFault(stream.id, ErrorCode.STREAM_CLOSED, "DATA after END_STREAM")
        stream.receive_window -= end - start
        if stream.receive_window < 0:
            raise StreamFault(stream.id, ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the stream's window")
        if flags & PADDED:
            start, end = unpad(data, start, end)
        if stream.body_left is not None:
            stream.body_left -= end - start
            if stream.body_left < 0 or (flags & END_STREAM and stream.body_left):
                raise StreamFault(stream.id, ErrorCode.PROTOCOL_ERROR, "body differs from content-length")
        if flags & END_STREAM:
            # Noted first: an answer that ends while this last piece is handled need not tell the peer to stop.
            stream.remote_open = False
            if start < end:
                stream.exchange.data(data, start, end)
            self._remote_end(stream)
            return True
        if stream.receive_window < self._stream_half:
            self._top_up(stream)
        if start == end:
            return False
        stream.exchange.data(data, start, end)
        return True

    def stray_data(self, stream_id: int, flags: int, data: bytes, start: int, end: int) -> None:
        """Apply DATA on a stream that is closed: it still counts for the connection's window."""
        self.check_not_idle(stream_id, "DATA")
        self._receive_window -= end - start
        if self._receive_window < self._connection_half:
            self._widen_connection()
        if flags & PADDED:
            unpad(data, start, end)
        if not self._closed.cut_by_us(stream_id):
            self.outbound.put(frames.rst_stream(stream_id, ErrorCode.STREAM_CLOSED))
            self._closed.add(stream_id, cut_by_us=True)  # told once

    def block(self, stream_id: int, block: bytes, end_stream: bool) -> bool:
        """Apply a whole header block: a request, trailers, or a late one; False if it brought nothing."""
        stream = self.open.get(stream_id)
        if stream is not None:
            self._trailers(stream, block, end_stream)
            return True
        if stream_id > self.last_id:
            self._request(stream_id, block, end_stream)
            return True
        # The block must be decoded all the same: it may change the table that later blocks use.
        self._decoder.fields(stream_id, block)
        cut_by_us = self._closed.cut_by_us(stream_id)
        if cut_by_us is None:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"stream {stream_id} after stream {self.last_id}")
        if not cut_by_us:
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, f"HEADERS on closed stream {stream_id}")
        return False

    def rst_stream(self, stream_id: int, code: int) -> bool:
        """Apply RST_STREAM; False if the stream was closed already."""
        self.check_not_idle(stream_id, "RST_STREAM")
        stream = self.open.get(stream_id)
        if stream is None:
            return False
        answered = stream.answered
        self._remove(stream, cut_by_us=False).aborted(code)
        # Envoy ends every ext_proc stream like this once it has its answers; an attacker does not wait for them.
        if answered:
            self._resets.earn()
        else:
            self._count_reset()
        return True

    def check_not_idle(self, stream_id: int, what: str) -> None:
        """Raise `ConnectionFault` PROTOCOL_ERROR for a frame on stream 0 or on a stream that was never opened."""
        if stream_id == 0 or stream_id > self.last_id or not stream_id & 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"{what} on stream {stream_id}, which is not open")

    # ---- endings

    def reset(self, stream: Stream, code: ErrorCode) -> None:
        """Cut a stream; its exchange is not told."""
        if stream.id in self.open:
            self.outbound.put(frames.rst_stream(stream.id, code))
            self._remove(stream, cut_by_us=True)

    def fault(self, fault: StreamFault) -> None:
        """Answer a broken rule with RST_STREAM. Counted like the peer's own resets, whose work it can undo as well."""
        stream = self.open.get(fault.stream_id)
        if stream is None:
            self.outbound.put(frames.rst_stream(fault.stream_id, fault.code))
            self._closed.add(fault.stream_id, cut_by_us=True)
        else:
            self._cut(stream, fault.code)
        self._count_reset()

    def cut_stalled(self, now: float, patience: float) -> None:
        """Reset every stream whose waiting body has not moved for ``patience`` seconds."""
        if self.outbound.queued_bytes:
            for stream in [s for s in self.open.values() if s.queue and now - s.stalled_since >= patience]:
                self._cut(stream, ErrorCode.ENHANCE_YOUR_CALM)

    def relieve(self) -> None:
        """Reset the streams with the most body waiting until all of it is within the connection's limit."""
        while self.outbound.queued_bytes > self._most_bytes:
            fullest = max(self.open.values(), key=lambda stream: stream.queued_bytes)
            self._cut(fullest, ErrorCode.ENHANCE_YOUR_CALM)

    def abort_all(self, code: int) -> None:
        """The connection is over: abort every stream."""
        streams = list(self.open.values())
        self.open.clear()
        for stream in streams:
            self._part(stream).aborted(code)

    def _request(self, stream_id: int, block: bytes, end_stream: bool) -> None:
        self.last_id = stream_id
        try:
            head = self._decoder.request(stream_id, block)
        except MalformedHeaders as error:
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, f"malformed request: {error}") from None
        if not self.accepting or len(self.open) >= self._most_streams:
            raise StreamFault(stream_id, ErrorCode.REFUSED_STREAM, "no more streams")
        cost = head.size + STREAM_COST
        if self.open_bytes + cost > self._most_bytes:
            raise StreamFault(stream_id, ErrorCode.REFUSED_STREAM, "the heads of the open streams are too large")
        body_left = head.content_length
        if end_stream and body_left:
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, "no body, but content-length")
        stream = Stream(stream_id, self.outbound.initial_window, self._whole_stream_window, body_left, cost)
        self.open[stream_id] = stream
        self.opened += 1
        self.open_bytes += cost
        stream.remote_open = not end_stream
        exchange = self._accept(stream, head)
        if stream_id in self.open:
            stream.exchange = exchange
            if end_stream:
                self._remote_end(stream)

    def _trailers(self, stream: Stream, block: bytes, end_stream: bool) -> None:
        fields = self._decoder.fields(stream.id, block)
        if not stream.remote_open:
            raise StreamFault(stream.id, ErrorCode.STREAM_CLOSED, "HEADERS after END_STREAM")
        if not end_stream:
            raise StreamFault(stream.id, ErrorCode.PROTOCOL_ERROR, "trailers without END_STREAM")
        if stream.body_left:
            raise StreamFault(stream.id, ErrorCode.PROTOCOL_ERROR, "body differs from content-length")
        try:
            trailers = trailer_fields(fields)
        except MalformedHeaders as error:
            raise StreamFault(stream.id, ErrorCode.PROTOCOL_ERROR, f"malformed trailers: {error}") from None
        stream.remote_open = False
        stream.exchange.trailers(trailers)
        self._remote_end(stream)

    def _widen_connection(self) -> None:
        if self._receive_window < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the connection's window")
        whole = self._whole_window
        self.outbound.put(frames.window_update(0, whole - self._receive_window))
        self._receive_window = whole

    def _top_up(self, stream: Stream) -> None:
        """Give a stream its whole window again, unless too much waits and some of it is its own.

        So a peer that does not read its answers is asked to send less on the streams concerned, long before anything
        must be cut; the socket is read on, since the WINDOW_UPDATEs it waits for come there (section 5.2.2).
        """
        if stream.queue and self.outbound.queued_bytes > self._pressure:
            stream.withheld = True
            return
        stream.withheld = False
        if stream.remote_open:
            whole = self._whole_stream_window
            self.outbound.put(frames.window_update(stream.id, whole - stream.receive_window))
            stream.receive_window = whole

    def _remote_end(self, stream: Stream) -> None:
        stream.exchange.ended()
        if not stream.local_open and stream.id in self.open:
            self._remove(stream, cut_by_us=False)

    def _local_end(self, stream: Stream) -> None:
        """Our END_STREAM went out. A peer that is still sending is told that nobody listens (section 8.1)."""
        self._resets.earn()
        if stream.remote_open:
            self.reset(stream, _NO_ERROR)
        elif stream.id in self.open:
            self._remove(stream, cut_by_us=False)

    def _cut(self, stream: Stream, code: ErrorCode) -> None:
        self.outbound.put(frames.rst_stream(stream.id, code))
        self._remove(stream, cut_by_us=True).aborted(code)

    def _remove(self, stream: Stream, cut_by_us: bool) -> Exchange:
        del self.open[stream.id]
        self._closed.add(stream.id, cut_by_us)
        return self._part(stream)

    def _part(self, stream: Stream) -> Exchange:
        """Close a stream that is no longer listed; return the exchange it had.

        The two refer to each other: parting them spares the garbage collector a cycle for every request.
        """
        exchange = stream.exchange
        stream.exchange = CLOSED
        self.open_bytes -= stream.cost
        stream.local_open = stream.remote_open = False
        self.outbound.forget(stream)
        return exchange

    def _count_reset(self) -> None:
        if not self._resets.spend(self.now):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many streams reset")
