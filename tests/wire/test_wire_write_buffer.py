"""What a socket does not take is kept in order, counted, and written in pieces: also where TLS hides what is stuck."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.wire.write_buffer import PIECE, WriteBuffer


class Transport:
    """Takes ``room`` bytes until more is made, as TCP does: what is more it keeps, and says that it has enough."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.taken = b""
        self.kept = b""
        self.writes: list[int] = []
        self.closing = False
        self.high = 0
        self.buffer = WriteBuffer()
        self.buffer.open(self)  # type: ignore[arg-type]

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def get_write_buffer_size(self) -> int:
        return len(self.kept)

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        assert not self.buffer.paused, "who has enough is asked no more"
        self.writes.append(len(data))
        self.kept += data
        self._move()
        if len(self.kept) > self.high:
            self.buffer.pause(1.5)

    def take(self, size: int) -> None:
        """The peer reads."""
        self.room += size
        self._move()
        if self.buffer.paused and len(self.kept) <= self.high // 4:
            self.buffer.resume()

    def _move(self) -> None:
        gone = min(self.room, len(self.kept))
        self.room -= gone
        self.taken += self.kept[:gone]
        self.kept = self.kept[gone:]


class Tunnel(Transport):
    """Hands everything on to a TCP transport and forgets it, until that one has enough: what TLS transports do."""

    def __init__(self, room: int) -> None:
        super().__init__(room)
        self.below = b""

    def _move(self) -> None:
        if len(self.below) <= 64 << 10:
            self.below += self.kept
            self.kept = b""
        gone = min(self.room, len(self.below))
        self.room -= gone
        self.taken += self.below[:gone]
        self.below = self.below[gone:]
        if self.kept and len(self.below) <= 16 << 10:
            self._move()

    @property
    def unseen(self) -> int:
        return len(self.below) + len(self.kept) - self.buffer.stuck_bytes


BOTH = pytest.mark.parametrize("make", [Transport, Tunnel])


@BOTH
def test_what_is_short_goes_out_as_it_comes(make: Callable[[int], Transport]) -> None:
    transport = make(10 * PIECE)
    for size in (1, 100, PIECE):
        transport.buffer.write(bytes(size))
    assert transport.writes == [1, 100, PIECE]
    assert len(transport.buffer) == 0


@BOTH
def test_what_is_long_goes_out_in_pieces(make: Callable[[int], Transport]) -> None:
    transport = make(10 * PIECE)
    transport.buffer.write(bytes(3 * PIECE + 5))
    assert transport.writes == [PIECE, PIECE, PIECE, 5]
    assert len(transport.buffer) == 0


@BOTH
def test_one_write_however_long_is_noticed_where_nobody_reads(make: Callable[[int], Transport]) -> None:
    transport = make(100_000)
    transport.buffer.write(bytes(20 * PIECE))
    assert transport.buffer.paused
    assert transport.buffer.paused_at == 1.5
    assert len(transport.buffer) >= 20 * PIECE - 100_000 - 2 * PIECE - (64 << 10)
    assert transport.buffer.held_bytes == sum([20 * PIECE, *(-size for size in transport.writes)])


def test_little_is_unseen_below_tls() -> None:
    tunnel = Tunnel(0)
    for _ in range(500):
        tunnel.buffer.write(bytes(10_000))
        tunnel.buffer.write(bytes(2 * PIECE))
        assert tunnel.unseen <= 2 * PIECE + (64 << 10)
        tunnel.take(30_000)
        assert tunnel.unseen <= 2 * PIECE + (64 << 10)


def test_what_waits_in_small_parts_goes_out_in_large_ones() -> None:
    transport = Transport(0)
    transport.buffer.write(bytes(PIECE))
    transport.buffer.write(bytes(PIECE))
    for _ in range(1_000):
        transport.buffer.write(bytes(1_000))
    del transport.writes[:]
    transport.take(10 * PIECE)
    assert sum(transport.writes) == 1_000_000
    assert len(transport.writes) == 4


def test_nothing_is_written_to_a_socket_that_is_gone() -> None:
    transport = Transport(0)
    transport.buffer.write(bytes(5 * PIECE))
    written = list(transport.writes)
    transport.closing = True
    transport.take(3 * PIECE)
    assert transport.writes == written
    transport.buffer.clear()
    assert len(transport.buffer) == 0


@BOTH
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("write"), st.sampled_from([1, 17, 5_000, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])),
            st.tuples(st.just("take"), st.sampled_from([1, 20_000, PIECE, 5 * PIECE])),
        ),
        max_size=40,
    )
)
def test_all_of_it_arrives_in_order(make: Callable[[int], Transport], steps: list[tuple[str, int]]) -> None:
    transport = make(0)
    said = b""
    for step, size in steps:
        if step == "take":
            transport.take(size)
        else:
            out = (len(said) % 251).to_bytes(1, "big") * size
            said += out
            transport.buffer.write(out)
        held = len(said) - sum(transport.writes)
        assert transport.buffer.held_bytes == held
        assert transport.buffer.paused or not held
    for _ in range(100):
        transport.take(2 * PIECE)
    assert transport.taken == said
    assert len(transport.buffer) == 0
