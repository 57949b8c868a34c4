"""Length-prefixed gRPC messages cut out of DATA."""

from __future__ import annotations

from struct import Struct
from typing import Final, Protocol

from signalbox.wire.octets import NATIVE, read_uint32
from signalbox.wire.status import Status

PREFIX: Final = Struct(">BI")
"""Compressed flag and length: 5 bytes before each message."""
PREFIX_BYTES: Final = 5
PIECE_COST: Final = 64
"""What keeping a piece costs beside its bytes: without it, 36 MiB sent byte by byte would pass as 36 MiB."""

_unpack_prefix = PREFIX.unpack_from


class MessageFault(Exception):
    """What the peer sent ends the call with ``status``."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class MessageTooLong(MessageFault):
    """A message of ``size`` bytes begins, more than the limit. None of it is kept."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(Status.RESOURCE_EXHAUSTED, f"message of {size} bytes, limit {limit}")
        self.size = size


class HearsMessages(Protocol):
    """Whoever messages are for: a `Receiver`."""

    def message(self, data: bytes) -> None:
        """The next message."""


class Holdings:
    """Bytes of unfinished messages that one connection makes us keep."""

    __slots__ = ("held", "limit")

    def __init__(self, limit: int) -> None:
        self.held = 0
        self.limit = limit


class MessageReader:
    """Cuts one stream's body into messages.

    A message that lies whole in one frame is copied once, straight from the read buffer. The pieces of a longer one are
    kept and joined once, when the last has come.
    """

    __slots__ = ("_held", "_holdings", "_limit", "_missing", "_pieces", "_prefix", "closed", "seen_unfinished")

    def __init__(self, limit: int, holdings: Holdings) -> None:
        self._limit = limit
        self._holdings = holdings
        self._prefix = b""
        self._pieces: list[bytes] = []
        self._missing = 0
        self._held = 0
        self.closed = False
        """True after `close`: nothing more is delivered."""
        self.seen_unfinished: float | None = None
        """When somebody first noticed the message that is unfinished now; for them to write."""

    def feed(self, buffer: bytes, start: int, end: int, receiver: HearsMessages) -> None:
        """Give ``receiver`` every message completed by ``buffer[start:end]``, in order.

        Raises `MessageFault`: RESOURCE_EXHAUSTED for a message over the limit or when the connection's holdings are
        full, UNIMPLEMENTED for a compressed message, INTERNAL for another flag.
        """
        if self._missing:
            start = self._continue(buffer, start, end, receiver)
        elif self._prefix:
            buffer = self._prefix + buffer[start:end]
            start, end = 0, len(buffer)
            self._prefix = b""
            if end >= PREFIX_BYTES:
                self.seen_unfinished = None
        while end - start >= PREFIX_BYTES and not self.closed:
            if NATIVE:
                flag = buffer[start]
                size = read_uint32(buffer, start + 1)
            else:
                flag, size = _unpack_prefix(buffer, start)
            if flag or size > self._limit:
                raise self._fault(flag, size)
            start += PREFIX_BYTES
            stop = start + size
            if stop > end:
                self._missing = stop - end
                self._hold(buffer[start:end])
                return
            receiver.message(buffer[start:stop])
            if stop == end:
                return
            start = stop
        if not self.closed:
            self._prefix = buffer[start:end]

    def close(self) -> None:
        """Deliver nothing more and give back what is held."""
        self.closed = True
        self._drop()

    @property
    def unfinished(self) -> bool:
        """Part of a message has come and not the rest."""
        return bool(self._missing or self._prefix)

    def _continue(self, buffer: bytes, start: int, end: int, receiver: HearsMessages) -> int:
        """Add to the message that is held; return where the next one starts in ``buffer``."""
        stop = min(end, start + self._missing)
        self._missing -= stop - start
        self._hold(buffer[start:stop])
        if not self._missing:
            whole = b"".join(self._pieces)
            self._drop()
            receiver.message(whole)
        return stop

    def _hold(self, piece: bytes) -> None:
        holdings = self._holdings
        cost = len(piece) + PIECE_COST
        holdings.held += cost
        self._held += cost
        self._pieces.append(piece)
        if holdings.held > holdings.limit:
            raise MessageFault(Status.RESOURCE_EXHAUSTED, f"over {holdings.limit} bytes of unfinished messages")

    def _drop(self) -> None:
        self._holdings.held -= self._held
        self._held = 0
        self._missing = 0
        self._prefix = b""
        self._pieces.clear()
        self.seen_unfinished = None

    def _fault(self, flag: int, size: int) -> MessageFault:
        if flag == 1:
            return MessageFault(Status.UNIMPLEMENTED, "compressed message: this server takes identity only")
        if flag:
            return MessageFault(Status.INTERNAL, f"message flag {flag} is neither 0 nor 1")
        return MessageTooLong(size, self._limit)
