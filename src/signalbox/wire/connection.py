"""The server side of one HTTP/2 connection (RFC 9113), without a socket."""

from __future__ import annotations

from collections.abc import Callable

from signalbox.wire import frames
from signalbox.wire.control_frames import ALIVE_PING, ControlFrames
from signalbox.wire.errors import ConnectionFault, ErrorCode, StreamFault
from signalbox.wire.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER,
    FRAME_HEADER_BYTES,
    HEADERS,
    LARGEST_STREAM_ID,
    PADDED,
    PREFACE,
    PRIORITY_FLAG,
    RST_STREAM,
)
from signalbox.wire.header_assembly import HeaderAssembly
from signalbox.wire.header_blocks import HeaderDecoder
from signalbox.wire.limits import Limits
from signalbox.wire.octets import NATIVE, read_uint24, read_uint32
from signalbox.wire.stream import Stream
from signalbox.wire.stream_table import Accept, StreamTable, unpad

_unpack_header = FRAME_HEADER.unpack_from

_Handler = Callable[[int, int, bytes, int, int], None]
"""Stream id, flags, the read buffer, and where the frame's content begins and ends in it."""


class HTTP2Connection:
    """Bytes in (`receive`), calls to each stream's `Exchange`, bytes out (`take`).

    ``accept`` is called with each new stream and its checked head and returns the exchange that hears what follows.
    Answers are given through `outbound`; `reset` cuts a stream. Whatever a peer sends, `receive` raises nothing of its
    own: a broken rule is answered with RST_STREAM or GOAWAY, and after GOAWAY with an error `finished` is true.
    """

    def __init__(self, accept: Accept, limits: Limits, now: float = 0.0) -> None:
        self._limits = limits
        self._most_frame_bytes = limits.frame_bytes
        self._most_block_bytes = limits.header_list_bytes
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
        self._partial = bytearray()
        self._partial_since = now
        self._block_since = now
        self._wanted = 0
        self._preface_seen = False
        self._block: HeaderAssembly | None = None
        self._control = control = ControlFrames(self._table, self._decoder, limits)
        self._handlers: dict[int, _Handler] = {
            DATA: self._on_stray_data,  # comes there only where no stream is open for it
            frames.PRIORITY: control.priority,
            frames.SETTINGS: control.settings,
            frames.PUSH_PROMISE: control.push_promise,
            frames.PING: control.ping,
            frames.GOAWAY: control.goaway,
            frames.WINDOW_UPDATE: control.window_update,
            CONTINUATION: self._on_continuation,
        }
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
        return self._control.settings_seen

    @property
    def finished(self) -> bool:
        """Nothing more will happen here: write what `take` returns, then close the socket."""
        return self._over or (not self.streams and (self._control.peer_leaving or not self._table.accepting))

    @property
    def buffered_bytes(self) -> int:
        """Bytes kept: part of a frame or header block, heads of open streams and those cached, body that waits."""
        block = 0 if self._block is None else self._block.size
        return (
            len(self._partial)
            + block
            + self._decoder.cached_bytes
            + self._table.open_bytes
            + self.outbound.queued_bytes
        )

    def receive(self, data: bytes, now: float) -> None:
        """Handle the next bytes of the peer, cut anywhere; ``now`` in seconds."""
        self.now = self._table.now = now
        if self._over:
            return
        partial = self._partial
        if partial:
            partial += data
            if len(partial) < self._wanted:
                return
            data = bytes(partial)
            partial.clear()
        try:
            used = self._frames(data)
        except ConnectionFault as fault:
            self.fail(fault)
            return
        if used < len(data):
            partial += memoryview(data)[used:]
            self._partial_since = now

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
        """Let the streams finish and take no new ones (section 6.8)."""
        if not self._over:
            self._control.drain()

    def fail(self, fault: ConnectionFault) -> None:
        """Give the connection up: GOAWAY, and every stream is aborted."""
        if not self._over:
            self.fault = fault
            self._control.say_goodbye(fault.code, fault.reason)
            self.lost(fault.code)

    def close(self) -> None:
        """End now, without blame: GOAWAY NO_ERROR, and every stream is aborted."""
        if not self._over:
            self._control.say_goodbye(ErrorCode.NO_ERROR)
            self.lost(ErrorCode.NO_ERROR)

    def lost(self, code: ErrorCode = ErrorCode.CONNECT_ERROR) -> None:
        """The socket is gone: abort every stream."""
        self._over = True
        self._partial.clear()
        self._block = None
        self._decoder.forget()
        self._table.abort_all(code)

    def cut_stalled(self, now: float, patience: float) -> None:
        """Reset every stream whose waiting body has not moved for ``patience`` seconds."""
        self._table.cut_stalled(now, patience)

    def cut_half_sent(self, now: float, patience: float) -> None:
        """Give the connection up if a frame or header block began ``patience`` seconds ago and is not complete."""
        if (self._partial and now - self._partial_since >= patience) or (
            self._block is not None and now - self._block_since >= patience
        ):
            reason = f"a frame or header block was not complete after {patience:g} seconds"
            self.fail(ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, reason))

    def forget_heads(self) -> None:
        """Drop the heads kept to be found again: nobody has asked for any in a while."""
        self._decoder.forget()

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
        limit = self._most_frame_bytes
        while not self._over:
            start = offset + FRAME_HEADER_BYTES
            if start > size:
                self._wanted = FRAME_HEADER_BYTES
                return offset
            if NATIVE:
                length = read_uint24(data, offset)
                kind = data[offset + 3]
                flags = data[offset + 4]
                stream_id = read_uint32(data, offset + 5)
            else:
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
                        self._control.count("empty DATA")
                else:
                    self._on_frame(kind, stream_id, flags, data, start, end)
            except StreamFault as fault:
                table.fault(fault)
        return size

    def _on_frame(self, kind: int, stream_id: int, flags: int, data: bytes, start: int, end: int) -> None:
        if self._block is not None:
            if kind != CONTINUATION or stream_id != self._block.stream_id:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a header block is interrupted by another frame")
        elif not self._control.settings_seen and (kind != frames.SETTINGS or flags & ACK):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the preface is not followed by SETTINGS")
        if kind == HEADERS:
            self._on_headers(stream_id, flags, data, start, end)
        elif kind == RST_STREAM:
            self._on_rst_stream(stream_id, data, start, end)
        elif (handler := self._handlers.get(kind)) is not None:
            handler(stream_id, flags, data, start, end)
        else:
            self._control.count("frames of unknown type")

    def _on_stray_data(self, stream_id: int, flags: int, data: bytes, start: int, end: int) -> None:
        self._table.stray_data(stream_id, flags, data, start, end)
        self._control.count("DATA on closed streams")

    def _on_headers(self, stream_id: int, flags: int, data: bytes, start: int, end: int) -> None:
        if not stream_id & 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"HEADERS on stream {stream_id}: clients use odd ids")
        if flags & PADDED:
            start, end = unpad(data, start, end)
        if flags & PRIORITY_FLAG:
            start += 5
            if start > end:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS too short for its priority")
        if flags & END_HEADERS and end - start <= self._most_block_bytes:
            self._on_block(stream_id, data[start:end], flags & END_STREAM != 0)
        else:
            limits = self._limits
            piece = data[start:end]
            block = HeaderAssembly(stream_id, flags, piece, limits.header_list_bytes, limits.continuation_frames)
            self._block = block
            self._block_since = self.now

    def _on_continuation(self, stream_id: int, flags: int, data: bytes, start: int, end: int) -> None:
        block = self._block
        if block is None:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        block.add(data[start:end])
        if flags & END_HEADERS:
            self._block = None
            self._on_block(stream_id, block.whole(), block.end_stream)

    def _on_block(self, stream_id: int, block: bytes, end_stream: bool) -> None:
        self._control.count_large_lists()
        if not self._table.block(stream_id, block, end_stream):
            self._control.count("HEADERS on closed streams")

    def _on_rst_stream(self, stream_id: int, data: bytes, start: int, end: int) -> None:
        if end - start != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM is not 4 bytes")
        if not self._table.rst_stream(stream_id, read_uint32(data, start)):
            self._control.count("RST_STREAM on closed streams")
