"""The server side of one HTTP/2 connection (RFC 9113), without a socket."""

from __future__ import annotations

from typing import Final

from signalbox.wire import frames
from signalbox.wire.allowance import Allowance
from signalbox.wire.errors import ConnectionFault, ErrorCode, StreamFault
from signalbox.wire.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    FRAME_HEADER,
    FRAME_HEADER_BYTES,
    LARGEST_STREAM_ID,
    PADDED,
    PREFACE,
    PRIORITY_FLAG,
)
from signalbox.wire.header_assembly import HeaderAssembly
from signalbox.wire.header_blocks import HeaderDecoder
from signalbox.wire.limits import Limits
from signalbox.wire.peer_settings import apply_settings
from signalbox.wire.stream import Stream
from signalbox.wire.stream_table import Accept, StreamTable, unpad

_unpack_header = FRAME_HEADER.unpack_from
_unpack_uint32 = frames.UINT32.unpack_from

DRAIN_PING: Final = b"draining"
ALIVE_PING: Final = b"alive???"
_DEBUG_BYTES: Final = 256
_CONTROLS_PER_STREAM: Final = 8
"""Control frames that each stream may bring along, so that a busy peer is not taken for a noisy one."""


class HTTP2Connection:
    """Bytes in (`receive`), calls to each stream's `Exchange`, bytes out (`take`).

    ``accept`` is called with each new stream and its checked head and returns the exchange that hears what follows.
    Answers are given through `outbound`; `reset` cuts a stream. Whatever a peer sends, `receive` raises nothing of its
    own: a broken rule is answered with RST_STREAM or GOAWAY, and after GOAWAY with an error `finished` is true.
    """

    def __init__(self, accept: Accept, limits: Limits, now: float = 0.0) -> None:
        self._limits = limits
        self._decoder = HeaderDecoder(limits.header_list_bytes)
        self._table = StreamTable(accept, self._decoder, limits)
        self._table.now = now
        self.streams = self._table.open
        """The streams that are open or half-closed, by id."""
        self.outbound = self._table.outbound
        self.now = now
        """Time of the last `receive`, in seconds."""
        self.fault: ConnectionFault | None = None
        """The rule the peer broke, if that is why the connection finished."""
        self._over = False
        self._partial: list[bytes] = []
        self._partial_bytes = 0
        self._wanted = 0
        self._preface_seen = False
        self._settings_seen = False
        self._block: HeaderAssembly | None = None
        self._controls = Allowance(limits.control_burst, limits.controls_per_second)
        self._credited = 0
        self._large_bytes_paid = 0
        self._last_stream_told = LARGEST_STREAM_ID
        self._draining = False
        self._peer_leaving = False
        self._announce()

    def _announce(self) -> None:
        limits = self._limits
        self.outbound.put(
            frames.settings(
                (
                    (frames.HEADER_TABLE_SIZE, 0),
                    (frames.MAX_CONCURRENT_STREAMS, limits.streams),
                    (frames.INITIAL_WINDOW_SIZE, limits.stream_window_bytes),
                    (frames.MAX_FRAME_SIZE, limits.frame_bytes),
                    (frames.MAX_HEADER_LIST_SIZE, limits.header_list_bytes),
                )
            )
        )
        extra = limits.connection_window_bytes - frames.DEFAULT_WINDOW
        if extra:
            self.outbound.put(frames.window_update(0, extra))

    # ---- what the owner of the socket calls

    @property
    def established(self) -> bool:
        """The client's preface with its SETTINGS has arrived."""
        return self._settings_seen

    @property
    def finished(self) -> bool:
        """Nothing more will happen here: write what `take` returns, then close the socket."""
        return self._over or (not self.streams and (self._peer_leaving or not self._table.accepting))

    @property
    def buffered_bytes(self) -> int:
        """Bytes kept: part of a frame, part of a header block, the heads of open streams, body that waits."""
        block = 0 if self._block is None else self._block.size
        return self._partial_bytes + block + self._table.open_bytes + self.outbound.queued_bytes

    def receive(self, data: bytes, now: float) -> None:
        """Handle the next bytes of the peer, cut anywhere; ``now`` in seconds."""
        self.now = self._table.now = now
        if self._over:
            return
        partial = self._partial
        if partial:
            partial.append(data)
            self._partial_bytes += len(data)
            if self._partial_bytes < self._wanted:
                return
            data = b"".join(partial)
            partial.clear()
            self._partial_bytes = 0
        try:
            used = self._frames(data)
        except ConnectionFault as fault:
            self.fail(fault)
            return
        if used < len(data):
            partial.append(data[used:] if used else data)
            self._partial_bytes = len(data) - used

    def take(self) -> bytes:
        """Return the bytes to write now."""
        return self.outbound.take()

    def reset(self, stream: Stream, code: ErrorCode) -> None:
        """Cut a stream from our side; its exchange is not told, since it or its owner asked for it."""
        self._table.reset(stream, code)

    def ping(self) -> None:
        """Ask whether the peer is there; any byte it sends is an answer."""
        self.outbound.put(frames.ping(ALIVE_PING))

    def drain(self) -> None:
        """Let the streams finish and take no new ones (section 6.8).

        A first GOAWAY announces it, a PING measures one round trip in which the peer may still open streams, and the
        second GOAWAY names the last one.
        """
        if not self._draining and not self._over:
            self._draining = True
            self.outbound.put(frames.goaway(LARGEST_STREAM_ID, ErrorCode.NO_ERROR) + frames.ping(DRAIN_PING))
            if not self._settings_seen:
                self._stop_accepting()

    def fail(self, fault: ConnectionFault) -> None:
        """Give the connection up: GOAWAY, and every stream is aborted."""
        if not self._over:
            self.fault = fault
            self._goaway(fault.code, fault.reason.encode()[:_DEBUG_BYTES])
            self.lost(fault.code)

    def close(self) -> None:
        """End now, without blame: GOAWAY NO_ERROR, and every stream is aborted."""
        if not self._over:
            self._goaway(ErrorCode.NO_ERROR)
            self.lost(ErrorCode.NO_ERROR)

    def lost(self, code: ErrorCode = ErrorCode.CONNECT_ERROR) -> None:
        """The socket is gone: abort every stream."""
        self._over = True
        self._partial.clear()
        self._partial_bytes = 0
        self._block = None
        self._table.abort_all(code)

    def cut_stalled(self, now: float, patience: float) -> None:
        """Reset every stream whose waiting body has not moved for ``patience`` seconds."""
        self._table.cut_stalled(now, patience)

    def relieve(self) -> None:
        """Reset the streams with the most body waiting until all of it is within ``Limits.buffered_bytes``."""
        self._table.relieve()

    # ---- frames

    def _frames(self, data: bytes) -> int:
        """Handle every whole frame in ``data``; return how many bytes that took."""
        offset = 0
        size = len(data)
        if not self._preface_seen:
            if not data.startswith(PREFACE):
                if not PREFACE.startswith(data):
                    raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the client's preface is not that of HTTP/2")
                self._wanted = size + 1
                return 0
            self._preface_seen = True
            offset = len(PREFACE)
        table = self._table
        streams = self.streams
        limit = self._limits.frame_bytes
        while not self._over:
            start = offset + FRAME_HEADER_BYTES
            if start > size:
                self._wanted = FRAME_HEADER_BYTES
                return offset
            high, low, kind, flags, stream_id = _unpack_header(data, offset)
            length = high << 8 | low
            if length > limit:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"frame of {length} bytes, limit {limit}")
            end = start + length
            if end > size:
                self._wanted = end - offset
                return offset
            offset = end
            stream_id &= LARGEST_STREAM_ID
            try:
                if kind == DATA and self._block is None and (stream := streams.get(stream_id)) is not None:
                    if not table.data(stream, flags, data, start, end):
                        self._control("empty DATA")
                else:
                    self._on_frame(kind, stream_id, flags, data, start, end)
            except StreamFault as fault:
                table.fault(fault)
        return size

    def _on_frame(self, kind: int, stream_id: int, flags: int, data: bytes, start: int, end: int) -> None:
        if self._block is not None:
            if kind != CONTINUATION or stream_id != self._block.stream_id:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a header block is interrupted by another frame")
        elif not self._settings_seen and (kind != frames.SETTINGS or flags & ACK):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the preface is not followed by SETTINGS")
        if kind < len(_HANDLERS):
            _HANDLERS[kind](self, stream_id, flags, data, start, end)
        else:
            self._control("frames of unknown type")

    def _on_stray_data(self, stream_id: int, flags: int, data: bytes, start: int, end: int) -> None:
        self._table.stray_data(stream_id, flags, data, start, end)
        self._control("DATA on closed streams")

    def _on_headers(self, stream_id: int, flags: int, data: bytes, start: int, end: int) -> None:
        if not stream_id & 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"HEADERS on stream {stream_id}: clients use odd ids")
        if flags & PADDED:
            start, end = unpad(data, start, end)
        if flags & PRIORITY_FLAG:
            start += 5
            if start > end:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS too short for its priority")
        limits = self._limits
        block = HeaderAssembly(stream_id, flags, data[start:end], limits.header_list_bytes, limits.continuation_frames)
        if flags & END_HEADERS:
            self._on_block(block)
        else:
            self._block = block

    def _on_continuation(self, stream_id: int, flags: int, data: bytes, start: int, end: int) -> None:
        block = self._block
        if block is None:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        block.add(data[start:end])
        if flags & END_HEADERS:
            self._block = None
            self._on_block(block)

    def _on_block(self, block: HeaderAssembly) -> None:
        large = self._decoder.large_bytes - self._large_bytes_paid
        if large:
            self._large_bytes_paid += large
            self._control("large header lists", large >> 8)
        if not self._table.block(block.stream_id, block.whole(), block.end_stream):
            self._control("HEADERS on closed streams")

    def _on_priority(self, stream_id: int, flags: int, data: bytes, start: int, end: int) -> None:
        if stream_id == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
        if end - start != 5:
            if stream_id in self.streams:
                raise StreamFault(stream_id, ErrorCode.FRAME_SIZE_ERROR, "PRIORITY is not 5 bytes")
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY is not 5 bytes")
        self._control("PRIORITY")

    def _on_rst_stream(self, stream_id: int, flags: int, data: bytes, start: int, end: int) -> None:
        if end - start != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM is not 4 bytes")
        if not self._table.rst_stream(stream_id, _unpack_uint32(data, start)[0]):
            self._control("RST_STREAM on closed streams")

    def _on_settings(self, stream_id: int, flags: int, data: bytes, start: int, end: int) -> None:
        if stream_id != 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"SETTINGS on stream {stream_id}")
        if flags & ACK:
            if start != end:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS acknowledgement with content")
            self._control("SETTINGS acknowledgements")
            self._decoder.settings_acknowledged()
            return
        # Each may touch every stream and hold thousands of values, so both make it dearer.
        self._control("SETTINGS", 1 + len(self.streams) // 16 + (end - start) // 96)
        apply_settings(data, start, end, self.outbound, self.streams, self.now)
        self._settings_seen = True

    def _on_push_promise(self, stream_id: int, flags: int, data: bytes, start: int, end: int) -> None:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE from a client")

    def _on_ping(self, stream_id: int, flags: int, data: bytes, start: int, end: int) -> None:
        if stream_id != 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"PING on stream {stream_id}")
        if end - start != 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PING is not 8 bytes")
        self._control("PING")
        opaque = data[start:end]
        if not flags & ACK:
            self.outbound.put(frames.ping(opaque, ack=True))
        elif self._draining and opaque == DRAIN_PING:
            self._stop_accepting()

    def _on_goaway(self, stream_id: int, flags: int, data: bytes, start: int, end: int) -> None:
        if stream_id != 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"GOAWAY on stream {stream_id}")
        if end - start < 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY is shorter than 8 bytes")
        self._control("GOAWAY")
        self._peer_leaving = True

    def _on_window_update(self, stream_id: int, flags: int, data: bytes, start: int, end: int) -> None:
        if end - start != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE is not 4 bytes")
        self._control("WINDOW_UPDATE")
        increment = _unpack_uint32(data, start)[0] & LARGEST_STREAM_ID
        if stream_id == 0:
            if not increment:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
            self.outbound.widen_connection(increment, self.now)
            return
        self._table.check_not_idle(stream_id, "WINDOW_UPDATE")
        stream = self.streams.get(stream_id)
        if stream is not None:
            if not increment:
                raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
            self.outbound.widen(stream, increment, self.now)

    # ---- what several of them share

    def _control(self, what: str, cost: int = 1) -> None:
        if self._controls.spend(self.now, cost):
            return
        opened = self._table.opened
        fresh, self._credited = opened - self._credited, opened
        if not self._controls.grant(fresh * _CONTROLS_PER_STREAM):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, f"too many {what}")

    def _stop_accepting(self) -> None:
        if self._table.accepting:
            self._table.accepting = False
            self._goaway(ErrorCode.NO_ERROR)

    def _goaway(self, code: ErrorCode, debug: bytes = b"") -> None:
        # Streams refused since the last one was told count for last_id, but the value told may never grow.
        self._last_stream_told = min(self._last_stream_told, self._table.last_id)
        self.outbound.put(frames.goaway(self._last_stream_told, code, debug))


_HANDLERS: Final = (
    HTTP2Connection._on_stray_data,
    HTTP2Connection._on_headers,
    HTTP2Connection._on_priority,
    HTTP2Connection._on_rst_stream,
    HTTP2Connection._on_settings,
    HTTP2Connection._on_push_promise,
    HTTP2Connection._on_ping,
    HTTP2Connection._on_goaway,
    HTTP2Connection._on_window_update,
    HTTP2Connection._on_continuation,
)
