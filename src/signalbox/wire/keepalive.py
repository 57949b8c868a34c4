"""Connections on which nothing comes: too slow a beginning, idleness, a peer that is gone without a word."""

from __future__ import annotations

from typing import Final

from signalbox.wire.connection import HTTP2Connection
from signalbox.wire.errors import ConnectionFault, ErrorCode
from signalbox.wire.limits import Limits

_NEVER: Final = float("-inf")


class Keepalive:
    """When something last happened on one connection, opened at second ``now``, and what follows when it is long ago.

    `last_read` is set by whoever reads.
    """

    __slots__ = ("_asked_after", "_idle_since", "_limits", "_started", "last_read")

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._started = self._idle_since = self.last_read = now
        self._asked_after = _NEVER
        """The read that was the last when a PING went out."""

    def check(self, now: float, connection: HTTP2Connection) -> bool:
        """Do what the time asks for; return False if the peer is gone and the connection to be cut."""
        limits = self._limits
        if not connection.established and now - self._started >= limits.preface_seconds:
            connection.fail(ConnectionFault(ErrorCode.SETTINGS_TIMEOUT, "no preface"))
        if connection.streams:
            self._idle_since = now
        elif now - self._idle_since >= limits.idle_seconds + limits.keepalive_seconds:
            connection.close()
        elif now - self._idle_since >= limits.idle_seconds:
            connection.drain()
        elif now - self._idle_since >= limits.keepalive_seconds:
            connection.forget_heads()
        asked = self._asked_after == self.last_read
        if now - self.last_read >= limits.keepalive_seconds * (2 if asked else 1):
            if asked:
                return False
            self._asked_after = self.last_read
            connection.ping()
        return True
