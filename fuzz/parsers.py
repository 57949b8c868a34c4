"""The parsers on their own: gRPC messages, health requests, header blocks."""

from __future__ import annotations

from collections import Counter
from random import Random

from hpack import Encoder

from signalbox.wire.errors import ConnectionFault, MalformedHeaders, StreamFault
from signalbox.wire.header_blocks import HeaderDecoder, encode_fields
from signalbox.wire.health import parse_check_request
from signalbox.wire.messages import PIECE_COST, PREFIX, Holdings, MessageFault, MessageReader

_LIMIT, _HELD = 5000, 9000
_SCRAPS = (b"\x0a\x03abc", b"\x0a\xff", b"\x08\x01", b"\x15\0\0\0\0", b"\x11" + bytes(8), b"\x80" * 11, b"\x0b")
_BLOCKS = (
    b"\x20",
    b"\x3f\xe1\x1f",
    b"\x82\x87\x84",
    b"\xff" * 11,
    b"\x40\x01a\x01b",
    b"\x00\x85\xff\xff\xff\xff\xff\x00",
)


def generate_messages(rng: Random) -> list[bytes]:
    """Pieces of gRPC messages."""
    pieces = []
    for _ in range(rng.randrange(1, 12)):
        size = rng.choice((0, 1, 100, 3000, 6000)) if rng.random() < 0.95 else rng.randrange(2**32)
        flag = 0 if rng.random() < 0.95 else rng.randrange(256)
        pieces.append(PREFIX.pack(flag, size) + bytes(min(size, 6000)))
    wire = b"".join(pieces)
    cuts = sorted(rng.randrange(len(wire) + 1) for _ in range(rng.randrange(20)))
    return [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]


class _Heard:
    """Whoever messages are for."""

    def __init__(self, got: list[bytes]) -> None:
        self._got = got

    def message(self, data: bytes) -> None:
        """Keep it."""
        self._got.append(data)


def run_messages(inputs: list[bytes], seen: Counter[str]) -> int:
    """Whatever comes, what is held is counted, bounded and given back, and messages are those of the plain reading."""
    holdings = Holdings(_HELD)
    reader = MessageReader(_LIMIT, holdings)
    got: list[bytes] = []
    try:
        for piece in inputs:
            reader.feed(b"<" + piece + b">", 1, 1 + len(piece), _Heard(got))
            assert 0 <= holdings.held <= _HELD
    except MessageFault as fault:
        seen[f"message {fault.status.name}"] += 1
        assert holdings.held <= _HELD + _LIMIT + PIECE_COST
    wire, at = b"".join(inputs), 0
    for message in got:
        assert wire[at : at + 5] == PREFIX.pack(0, len(message))
        assert wire[at + 5 : at + 5 + len(message)] == message
        at += 5 + len(message)
    reader.close()
    assert holdings.held == 0
    return len(inputs)


def generate_health(rng: Random) -> list[bytes]:
    """Health requests made of right and broken fields."""
    return [
        b"".join(rng.choice(_SCRAPS) if rng.random() < 0.8 else rng.randbytes(4) for _ in range(rng.randrange(5)))
        for _ in range(20)
    ]


def run_health(inputs: list[bytes], seen: Counter[str]) -> int:
    """A request names a service or is refused with `ValueError`."""
    for data in inputs:
        try:
            name = parse_check_request(data)
        except ValueError:
            seen["health request refused"] += 1
        else:
            seen["health request read"] += 1
            assert name.encode() in data
    return len(inputs)


def generate_blocks(rng: Random) -> list[bytes]:
    """Header blocks of one connection; an empty one stands for the SETTINGS acknowledgement."""
    encoder = Encoder()
    blocks: list[bytes] = []
    for _ in range(rng.randrange(1, 20)):
        choice = rng.random()
        fields = [
            (b":method", b"GET"),
            (b":path", b"/%d" % rng.randrange(4)),
            (b":scheme", b"http"),
            (b"a", b"b" * rng.randrange(40)),
        ]
        if choice < 0.1:
            blocks.append(b"")
            encoder.header_table_size = 0
        elif choice < 0.5:
            blocks.append(encoder.encode(fields))
        elif choice < 0.7:
            blocks.append(b"\x20" * rng.randrange(3) + encode_fields(fields * rng.choice((1, 20))))
        else:
            made = bytearray(rng.choice(_BLOCKS) * rng.choice((1, 1, 60)) + rng.randbytes(rng.randrange(9)))
            rng.shuffle(made)
            blocks.append(bytes(made))
    return blocks


def run_blocks(inputs: list[bytes], seen: Counter[str]) -> int:
    """A block is read or is a fault, and the cache never changes what a block means."""
    cached, plain = HeaderDecoder(4000), HeaderDecoder(4000)
    for stream, block in enumerate(inputs):
        if not block:
            cached.settings_acknowledged()
            plain.settings_acknowledged()
            continue
        fields, fault = _decode(plain, stream, block)
        if fault is not None:
            seen[f"block {fault.code.name}"] += 1
            _, same = _decode(cached, stream, block)
            assert same is not None, "the second decoder accepts what the first refused"
            assert same.code == fault.code
            if isinstance(fault, ConnectionFault):
                break
            continue
        try:
            head = cached.request(stream, block)
        except MalformedHeaders:
            seen["block malformed"] += 1
        else:
            seen["block read"] += 1
            assert head.fields == tuple(field for field in fields if field[0][:1] != b":")
    return len(inputs)


def _decode(
    decoder: HeaderDecoder, stream: int, block: bytes
) -> tuple[list[tuple[bytes, bytes]], ConnectionFault | StreamFault | None]:
    try:
        return decoder.fields(stream, block), None
    except (ConnectionFault, StreamFault) as fault:
        return [], fault
