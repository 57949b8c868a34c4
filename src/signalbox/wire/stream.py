"""One HTTP/2 stream as the connection keeps it, and what it tells to whoever answers it."""

from __future__ import annotations

from collections import deque
from typing import Final

from signalbox.native import mypyc_attr
from signalbox.wire.header_rules import Field


@mypyc_attr(allow_interpreted_subclasses=True)
class Exchange:
    """Receives what happens on one stream; this one makes nothing of it. Every call comes while bytes of the peer are
    handled."""

    __slots__ = ()

    def data(self, buffer: bytes, start: int, end: int) -> None:
        """``buffer[start:end]`` is the next piece of the body; the buffer is never changed afterwards."""

    def trailers(self, fields: tuple[Field, ...]) -> None:
        """Trailers came; `ended` follows."""

    def ended(self) -> None:
        """The peer will send no more on this stream; it still awaits our answer."""

    def aborted(self, code: int) -> None:
        """The stream is gone without having been answered to its end; nothing can be sent on it any more."""


CLOSED: Final = Exchange()
"""The exchange of a stream that is closed: nothing more happens on it."""


class Stream:
    """State of RFC 9113 section 5.1 between *open* and *closed*; idle and closed streams have no object.

    ``remote_open`` and ``local_open`` say who may still send: both is *open*, one is *half-closed*.
    """

    __slots__ = (
        "answered",
        "body_left",
        "cost",
        "exchange",
        "id",
        "local_open",
        "message_head",
        "queue",
        "queued_bytes",
        "receive_window",
        "remote_open",
        "send_window",
        "stalled_since",
        "trailer_block",
        "withheld",
    )

    def __init__(
        self, stream_id: int, send_window: int, receive_window: int, body_left: int | None, cost: int = 0
    ) -> None:
        self.id = stream_id
        self.cost = cost
        """Bytes that being open costs us."""
        self.exchange = CLOSED
        self.remote_open = True
        self.local_open = True
        self.message_head = b""
        """The part that all our DATA on this stream has in common, for `Outbound`; empty as long as nobody asked."""
        self.answered = False
        """Our response has begun."""
        self.send_window = send_window
        self.receive_window = receive_window
        self.body_left = body_left
        """Bytes of body that content-length still promises; None when it was not given."""
        self.queue: deque[memoryview] | None = None
        """Body of ours that waits for a window; None as long as nothing ever had to wait."""
        self.queued_bytes = 0
        self.trailer_block: bytes | None = None
        """Trailers that wait behind the queue."""
        self.stalled_since = 0.0
        """When the queue last began to wait or moved, in seconds."""
        self.withheld = False
        """The peer's window was not topped up because answers wait; it is when they are gone."""


class ClosedStreams:
    """Remembers how the last few hundred streams were closed, to tell late frames from wrong ones.

    Two generations: the older is dropped whole when the younger is full, so nothing is ever searched for its oldest.
    """

    __slots__ = ("_old", "_size", "_young")

    def __init__(self, size: int = 512) -> None:
        self._size = size
        self._young: dict[int, bool] = {}
        self._old: dict[int, bool] = {}

    def add(self, stream_id: int, cut_by_us: bool) -> None:
        """Note a stream that closed; ``cut_by_us``: the peer may not know yet and still be sending."""
        if len(self._young) >= self._size:
            self._old, self._young = self._young, {}
        self._young[stream_id] = cut_by_us

    def cut_by_us(self, stream_id: int) -> bool | None:
        """Whether we ended it while the peer was sending; None if it is not remembered."""
        young = self._young.get(stream_id)
        return self._old.get(stream_id) if young is None else young
