"""What one connection, and all of them together, may take from the server."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a `GrpcServer`; sizes in bytes, times in seconds, rates per second.

    Raises `ValueError` naming the field when a value cannot work.
    """

    streams: int = 10_000
    """Open streams per connection. A proxy sends all its requests down few connections, so this is generous."""
    header_list_bytes: int = 32 * KIB
    """Size of one decoded header list as RFC 9113 section 6.5.2 counts it; also bounds the undecoded block."""
    continuation_frames: int = 32
    """CONTINUATION frames of one header block."""
    message_bytes: int = 36 * MIB
    """Largest gRPC message: a 32 MiB body and what ext_proc wraps around it."""
    frame_bytes: int = 64 * KIB
    """SETTINGS_MAX_FRAME_SIZE we announce."""
    stream_window_bytes: int = 4 * MIB
    """Receive window of a stream; topped up when half of it is used."""
    connection_window_bytes: int = 64 * MIB
    """Receive window of a connection; topped up when half of it is used."""
    buffered_bytes: int = 256 * MIB
    """Per connection: unfinished messages, answers waiting for a window, answers waiting for the socket, and the heads
    of open calls, each."""
    server_buffered_bytes: int = 1024 * MIB
    """All of that over all connections; beyond it the connection that holds the most is cut."""
    connections: int = 4096
    """Open connections of the server; one more is told ENHANCE_YOUR_CALM and closed. As many again may be in their TLS
    handshake or wait for it; for one more the oldest is cut."""
    preface_seconds: float = 10.0
    """From accept to the client's SETTINGS, and for a TLS handshake."""
    idle_seconds: float = 3600.0
    """A connection without streams is drained after this time."""
    keepalive_seconds: float = 60.0
    """After this silence a PING asks whether the peer is there; after a second such silence the connection is cut."""
    stall_seconds: float = 60.0
    """A stream or socket that accepts none of its waiting answer for this time is cut."""
    message_seconds: float = 60.0
    """A message that is not complete this long after its beginning was noticed (once a second) ends its call."""
    turn_seconds: float = 0.002
    """CPU time for the rest of long reads before the loop goes round. The slice that is begun is finished."""
    exchange_seconds: float = 0.005
    """CPU time that an exchange earns its connection, and once more each second that it is open. While time is short
    those that take more than they earn have no more than `debtors_share`."""
    debtors_share: float = 0.05
    """Of the time: what connections that took more than they earned have, all together, while others need it."""
    handshakes_share: float = 0.1
    """Of the time: what TLS handshakes have, all together, while others need it; the rest wait, hosts taking turns."""
    reset_burst: int = 1000
    resets_per_second: float = 100.0
    """Streams that the peer resets before they are answered, or makes us reset; each better end allows one more."""
    control_burst: int = 10_000
    controls_per_second: float = 2000.0
    """Frames that bring no request forward: SETTINGS, PING, PRIORITY, WINDOW_UPDATE, empty DATA, unknown types. Each
    stream opened allows 8 more; a header list over 4 KiB counts as one for each 256 bytes."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ValueError(f"Limits.{name} is {getattr(self, name)}: use a number above 0")
        if not 16_384 <= self.frame_bytes <= 16_777_215:
            raise ValueError(f"Limits.frame_bytes is {self.frame_bytes}: RFC 9113 allows 16384 to 16777215")
        for name in ("streams", "header_list_bytes"):
            if getattr(self, name) > 2**32 - 1:
                raise ValueError(f"Limits.{name} is {getattr(self, name)}: SETTINGS say it, use at most 4294967295")
        for name in ("debtors_share", "handshakes_share"):
            if getattr(self, name) > 1:
                raise ValueError(f"Limits.{name} is {getattr(self, name)}: it is a part, use at most 1")
        for name in ("stream_window_bytes", "connection_window_bytes"):
            if not 65_535 <= getattr(self, name) <= 2**31 - 1:
                raise ValueError(f"Limits.{name} is {getattr(self, name)}: use 65535 to 2147483647")
