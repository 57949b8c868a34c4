"""The frames that steer a connection and bring no request forward (RFC 9113 sections 6.3 and 6.5 to 6.9)."""

from __future__ import annotations

from typing import Final

from signalbox.wire import frames
from signalbox.wire.allowance import Allowance
from signalbox.wire.errors import ConnectionFault, ErrorCode, StreamFault
from signalbox.wire.frames import ACK, LARGEST_STREAM_ID
from signalbox.wire.header_blocks import HeaderDecoder
from signalbox.wire.limits import Limits
from signalbox.wire.peer_settings import apply_settings
from signalbox.wire.stream_table import StreamTable

_unpack_uint32 = frames.UINT32.unpack_from

DRAIN_PING: Final = b"draining"
ALIVE_PING: Final = b"alive???"
_DEBUG_BYTES: Final = 256
_CONTROLS_PER_STREAM: Final = 8
"""Control frames that each stream may bring along, so that a busy peer is not taken for a noisy one."""


class ControlFrames:
    """Applies them and counts them: what is legal but costs us more than the peer is bounded by an allowance.

    The methods named after a frame take its stream id, its flags, and where its content lies in the read buffer; they
    raise `ConnectionFault` or `StreamFault` for broken rules.
    """

    def __init__(self, table: StreamTable, decoder: HeaderDecoder, limits: Limits) -> None:
        self.settings_seen = False
        """The client's first SETTINGS have come."""
        self.peer_leaving = False
        """The client sent GOAWAY."""
        self._table = table
        self._decoder = decoder
        self._outbound = table.outbound
        self._allowance = Allowance(limits.control_burst, limits.controls_per_second)
        self._credited = 0
        self._large_bytes_paid = 0
        self._draining = False
        self._last_stream_told = LARGEST_STREAM_ID

    # ---- what a peer sends

    def priority(self, stream_id: int, flags: int, data: bytes, start: int, end: int) -> None:
        """PRIORITY means nothing here, but has rules."""
        if stream_id == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
        if end - start != 5:
            if stream_id in self._table.open:
                raise StreamFault(stream_id, ErrorCode.FRAME_SIZE_ERROR, "PRIORITY is not 5 bytes")
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY is not 5 bytes")
        self.count("PRIORITY")

    def settings(self, stream_id: int, flags: int, data: bytes, start: int, end: int) -> None:
        """SETTINGS of the peer, or its acknowledgement of ours."""
        if stream_id != 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"SETTINGS on stream {stream_id}")
        if flags & ACK:
            if start != end:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS acknowledgement with content")
            self.count("SETTINGS acknowledgements")
            self._decoder.settings_acknowledged()
            return
        # Each may touch every stream and hold thousands of values, so both make it dearer.
        self.count("SETTINGS", 1 + len(self._table.open) // 16 + (end - start) // 96)
        apply_settings(data, start, end, self._outbound, self._table.open, self._table.now)
        self.settings_seen = True

    def push_promise(self, stream_id: int, flags: int, data: bytes, start: int, end: int) -> None:
        """Only servers push."""
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE from a client")

    def ping(self, stream_id: int, flags: int, data: bytes, start: int, end: int) -> None:
        """PING is echoed; the acknowledgement of our own ends the grace in which a drained connection takes streams."""
        if stream_id != 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"PING on stream {stream_id}")
        if end - start != 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PING is not 8 bytes")
        self.count("PING")
        opaque = data[start:end]
        if not flags & ACK:
            self._outbound.put(frames.ping(opaque, ack=True))
        elif self._draining and opaque == DRAIN_PING:
            self._stop_accepting()

    def goaway(self, stream_id: int, flags: int, data: bytes, start: int, end: int) -> None:
        """The peer opens no more streams."""
        if stream_id != 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"GOAWAY on stream {stream_id}")
        if end - start < 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY is shorter than 8 bytes")
        self.count("GOAWAY")
        self.peer_leaving = True

    def window_update(self, stream_id: int, flags: int, data: bytes, start: int, end: int) -> None:
        """More may be sent, on the connection or on one stream."""
        if end - start != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE is not 4 bytes")
        self.count("WINDOW_UPDATE")
        table = self._table
        increment = _unpack_uint32(data, start)[0] & LARGEST_STREAM_ID
        if stream_id == 0:
            if not increment:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
            self._outbound.widen_connection(increment, table.now)
            return
        table.check_not_idle(stream_id, "WINDOW_UPDATE")
        stream = table.open.get(stream_id)
        if stream is not None:
            if not increment:
                raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
            self._outbound.widen(stream, increment, table.now)

    # ---- what it costs

    def count(self, what: str, cost: int = 1) -> None:
        """Take ``cost`` from the peer's allowance; `ConnectionFault` ENHANCE_YOUR_CALM when there is none left."""
        if self._allowance.spend(self._table.now, cost):
            return
        opened = self._table.opened
        fresh, self._credited = opened - self._credited, opened
        if not self._allowance.grant(fresh * _CONTROLS_PER_STREAM):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, f"too many {what}")

    def count_large_lists(self) -> None:
        """Let the peer pay for header lists over 4 KiB."""
        large = self._decoder.large_bytes - self._large_bytes_paid
        if large:
            self._large_bytes_paid += large
            self.count("large header lists", large >> 8)

    # ---- how we leave

    def drain(self) -> None:
        """Let the streams finish and take no new ones (section 6.8).

        A first GOAWAY announces it, a PING measures one round trip in which the peer may still open streams, and the
        second GOAWAY names the last one.
        """
        if not self._draining:
            self._draining = True
            self._outbound.put(frames.goaway(LARGEST_STREAM_ID, ErrorCode.NO_ERROR) + frames.ping(DRAIN_PING))
            if not self.settings_seen:
                self._stop_accepting()

    def say_goodbye(self, code: ErrorCode, reason: str = "") -> None:
        """Send GOAWAY with the last stream that was heard."""
        # Streams refused since the last one was told count for last_id, but the value told may never grow.
        self._last_stream_told = min(self._last_stream_told, self._table.last_id)
        self._outbound.put(frames.goaway(self._last_stream_told, code, reason.encode()[:_DEBUG_BYTES]))

    def _stop_accepting(self) -> None:
        if self._table.accepting:
            self._table.accepting = False
            self.say_goodbye(ErrorCode.NO_ERROR)
