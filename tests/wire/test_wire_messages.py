"""gRPC messages within and across DATA frames; timeouts and status messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.wire import Status
from signalbox.wire.deadlines import parse_timeout
from signalbox.wire.messages import PIECE_COST, PREFIX, Holdings, MessageFault, MessageReader
from signalbox.wire.status import encode_status_message, is_grpc


def pack(*messages: bytes) -> bytes:
    return b"".join(PREFIX.pack(0, len(m)) + m for m in messages)


def unexpected(message: bytes) -> None:
    pytest.fail(f"delivered {message!r}")


@dataclass
class Heard:
    """Whoever messages are for."""

    message: Callable[[bytes], None]


def reader(limit: int = 1000, held: int = 100_000) -> tuple[MessageReader, Holdings]:
    holdings = Holdings(held)
    return MessageReader(limit, holdings), holdings


@given(st.lists(st.binary(max_size=60), max_size=8), st.data())
def test_messages_do_not_depend_on_how_they_are_cut(messages: list[bytes], data: st.DataObject) -> None:
    wire = pack(*messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=20)))
    got: list[bytes] = []
    cutter, holdings = reader()
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        cutter.feed(b"before" + wire[start:end] + b"after", 6, 6 + end - start, Heard(got.append))
    assert got == messages
    assert not cutter.unfinished
    assert holdings.held == 0


def test_an_unfinished_message_is_held_and_given_back() -> None:
    cutter, holdings = reader()
    cutter.feed(pack(bytes(100))[:50], 0, 50, Heard(unexpected))
    assert cutter.unfinished
    assert holdings.held == 45 + PIECE_COST
    cutter.close()
    assert holdings.held == 0


def test_small_pieces_are_charged_for_what_they_really_cost() -> None:
    cutter, _ = reader(limit=10_000, held=5000)
    cutter.feed(PREFIX.pack(0, 10_000) + b"x", 0, 6, Heard(unexpected))
    for _ in range(5000 // (PIECE_COST + 1) - 1):
        cutter.feed(b"x", 0, 1, Heard(unexpected))
    with pytest.raises(MessageFault) as caught:
        cutter.feed(b"x", 0, 1, Heard(unexpected))
    assert caught.value.status == Status.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("prefix", "status"),
    [
        (PREFIX.pack(0, 1001), Status.RESOURCE_EXHAUSTED),
        (PREFIX.pack(1, 3), Status.UNIMPLEMENTED),
        (PREFIX.pack(2, 3), Status.INTERNAL),
    ],
)
def test_faults_come_after_the_good_messages_and_before_the_body(prefix: bytes, status: Status) -> None:
    got: list[bytes] = []
    cutter, _ = reader()
    wire = pack(b"good") + prefix
    with pytest.raises(MessageFault) as caught:
        cutter.feed(wire, 0, len(wire), Heard(got.append))
    assert got == [b"good"]
    assert caught.value.status == status


def test_nothing_is_delivered_after_close() -> None:
    cutter, _ = reader()
    got: list[bytes] = []

    def stop(message: bytes) -> None:
        got.append(message)
        cutter.close()

    wire = pack(b"one", b"two")
    cutter.feed(wire, 0, len(wire), Heard(stop))
    assert got == [b"one"]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"2H", 7200), (b"3M", 180), (b"10S", 10), (b"250m", 0.25), (b"99999999u", 99.999999), (b"1n", 1e-9), (b"0S", 0)],
)
def test_timeouts(value: bytes, seconds: float) -> None:
    assert parse_timeout(value) == pytest.approx(seconds)


@pytest.mark.parametrize("value", [b"", b"S", b"1", b"1s", b"123456789S", b"-1S", b"1.5S", b" 1S", b"1S\n"])
def test_broken_timeouts_say_what_is_right(value: bytes) -> None:
    with pytest.raises(ValueError, match="use 1 to 8 digits"):
        parse_timeout(value)


@given(st.text(max_size=200))
def test_status_messages_survive_as_printable_ascii(message: str) -> None:
    encoded = encode_status_message(message)
    assert all(0x20 <= byte < 0x7F for byte in encoded)
    assert unquote(encoded.decode()) == message.encode(errors="replace").decode()


def test_long_status_messages_are_cut() -> None:
    assert len(encode_status_message("\N{FIRE}" * 5000)) == 512 * 12


@pytest.mark.parametrize("value", [b"application/grpc", b"application/grpc+proto", b"application/grpc;charset=utf-8"])
def test_content_types_of_grpc(value: bytes) -> None:
    assert is_grpc(value)


@pytest.mark.parametrize("value", [b"", b"application/json", b"application/grpc-web", b"application/grpcx"])
def test_other_content_types(value: bytes) -> None:
    assert not is_grpc(value)
