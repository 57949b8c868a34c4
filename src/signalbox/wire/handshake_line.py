"""Who begins a TLS handshake, and when: the rule, without a socket.

A handshake brings nothing forward, and costs a tenth of a millisecond to several, as the key wants it: nobody has
earned the time yet. So handshakes have a share of it while it is short, and the hosts that ask for one take turns.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final, Generic, TypeVar

from signalbox.wire.turns_standing import Shares

Peer = TypeVar("Peer")
TAKEN_UP_SECONDS: Final = 0.0002
"""CPU time of what either loop makes for a handshake, beside what TLS itself takes."""
_AGAIN: Final = 0.005
"""How soon to see whether the others have become quiet, at most."""
_BEHIND: Final = 0.5
"""Seconds that the share is overdrawn by at most: who keeps many handshakes half done and finishes them all at once
holds up the next ones for no longer."""
_CATCH_UP: Final = 0.1
"""Seconds of the share that went unused, because a timer came late, and may still be had."""


class HandshakeLine(Generic[Peer]):
    """Those that wait for their handshake. Of each host the first goes first, and the hosts take turns."""

    def __init__(self) -> None:
        self._hosts: OrderedDict[str, deque[Peer]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, host: str, peer: Peer) -> None:
        """Let ``peer`` stand behind the others of its ``host``."""
        self._hosts.setdefault(host, deque()).append(peer)
        self._size += 1

    def take(self) -> Peer:
        """Return who is next; somebody must be waiting."""
        host, peers = self._hosts.popitem(last=False)
        peer = peers.popleft()
        if peers:
            self._hosts[host] = peers
        self._size -= 1
        return peer

    def drop(self) -> Peer:
        """Return the oldest of the host that has the most here; somebody must be waiting."""
        host = max(self._hosts, key=lambda host: len(self._hosts[host]))
        peers = self._hosts[host]
        peer = peers.popleft()
        if not peers:
            del self._hosts[host]
        self._size -= 1
        return peer


class HandshakePace:
    """How soon the next handshake may begin: they have ``share`` of the time while it is short and others, of whom
    ``others`` knows, want it; else all they need. Times are seconds of one clock; what is spent is CPU seconds."""

    def __init__(self, share: float, others: Shares) -> None:
        self._share = share
        self._others = others
        self._next = float("-inf")

    def wait(self, now: float) -> float:
        """Return after how many seconds to begin the next, or to ask again; all have been heard who wanted to be."""
        if not self._others.pressed(now) or self._others.quiet(now):
            return 0.0
        return min(max(0.0, self._next - now), _AGAIN)

    def spend(self, seconds: float, now: float) -> None:
        """Handshakes have had ``seconds``."""
        since = max(self._next, now - _CATCH_UP) if self._others.pressed(now) else now
        self._next = min(since + seconds / self._share, now + _BEHIND)
