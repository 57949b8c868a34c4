"""What time alone shows of a connection, each as late as its limit says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from signalbox.wire import ErrorCode, Limits
from signalbox.wire import frames as f
from signalbox.wire.keepalive import Keepalive

if TYPE_CHECKING:
    from tests.wire.conftest import RawPeer

LIMITS: dict[str, Any] = {"preface_seconds": 10.0, "idle_seconds": 1000.0, "keepalive_seconds": 60.0}


@pytest.fixture
def stranger(raw_peer: Callable[..., RawPeer]) -> RawPeer:
    """A peer that has said nothing so far."""
    return raw_peer(**LIMITS)


@pytest.fixture
def keepalive() -> Keepalive:
    """Of a connection opened at second 100."""
    return Keepalive(Limits(**LIMITS), 100.0)


def kinds(peer: RawPeer) -> list[int]:
    return [frame.kind for frame in peer.frames()]


def test_who_says_nothing_at_all_is_given_up(stranger: RawPeer, keepalive: Keepalive) -> None:
    assert keepalive.check(109.9, stranger.connection)
    assert not stranger.connection.finished
    assert keepalive.check(110.0, stranger.connection)
    assert stranger.connection.fault is not None
    assert stranger.connection.fault.code == ErrorCode.SETTINGS_TIMEOUT


def test_a_silent_peer_is_asked_once_and_then_cut(stranger: RawPeer, keepalive: Keepalive) -> None:
    peer = stranger.greet()
    assert keepalive.check(159.9, peer.connection)
    assert kinds(peer) == []
    assert keepalive.check(160.0, peer.connection)
    assert keepalive.check(219.9, peer.connection)
    assert kinds(peer) == [f.PING]
    assert not keepalive.check(220.0, peer.connection)


def test_whatever_it_says_is_an_answer(stranger: RawPeer, keepalive: Keepalive) -> None:
    peer = stranger.greet()
    assert keepalive.check(160.0, peer.connection)
    keepalive.last_read = 219.0
    assert keepalive.check(220.0, peer.connection)
    assert keepalive.check(279.0, peer.connection)
    assert kinds(peer) == [f.PING, f.PING], "and the next silence is another one"
    assert not keepalive.check(339.0, peer.connection)


def test_who_opens_no_stream_for_long_is_asked_to_leave_and_then_left(stranger: RawPeer, keepalive: Keepalive) -> None:
    peer = stranger.greet()
    for second, said in ((1099, []), (1100, [f.GOAWAY, f.PING]), (1159, []), (1160, [f.GOAWAY])):
        keepalive.last_read = float(second)
        assert keepalive.check(float(second), peer.connection)
        assert kinds(peer) == said
    assert peer.connection.finished


def test_an_open_stream_is_not_idle(stranger: RawPeer, keepalive: Keepalive) -> None:
    peer = stranger.greet()
    peer.request()
    peer.frames()
    for second in (1100.0, 2000.0):
        keepalive.last_read = second
        assert keepalive.check(second, peer.connection)
    assert kinds(peer) == []
