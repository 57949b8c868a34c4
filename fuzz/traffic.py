"""The bytes of an HTTP/2 client that mostly keeps the rules, and sometimes does not."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from hpack import Encoder

from signalbox.wire import frames as f
from signalbox.wire.frames import frame
from signalbox.wire.header_blocks import encode_fields
from signalbox.wire.messages import PREFIX

Field = tuple[bytes, bytes]

_PATHS = (b"/test.Fuzz/Call",) * 8 + (
    b"/grpc.health.v1.Health/Check",
    b"/grpc.health.v1.Health/Watch",
    b"/test.Fuzz/Nope",
)
_ODD_FIELDS: tuple[Field, ...] = (
    (b"grpc-timeout", b"5S"),
    (b"grpc-timeout", b"0n"),
    (b"grpc-timeout", b"soon"),
    (b"content-length", b"12"),
    (b"content-length", b"x"),
    (b"te", b"trailers"),
    (b"te", b"gzip"),
    (b"Upper", b"case"),
    (b"connection", b"close"),
    (b":late", b"pseudo"),
    (b"x-long", b"v" * 3000),
    (b"x-value", b" led"),
    (b"host", b"elsewhere"),
)
_SETTINGS = (
    (f.INITIAL_WINDOW_SIZE, (0, 1, 100, 65_535, 200_000, 2**31 - 1)),
    (f.MAX_FRAME_SIZE, (16_384, 20_000, 16_777_215)),
    (f.HEADER_TABLE_SIZE, (0, 100, 4096)),
    (f.MAX_CONCURRENT_STREAMS, (0, 100)),
    (0x99, (7,)),
)
_WRONG_SETTINGS = ((f.ENABLE_PUSH, 2), (f.INITIAL_WINDOW_SIZE, 2**31), (f.MAX_FRAME_SIZE, 5))


class Client:
    """Knows which streams it has opened, not what the server made of them."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self._next = 1
        self._open: list[int] = []
        self._encoder = Encoder()
        self._acknowledged = False
        ordinary: tuple[tuple[Callable[[], bytes], int], ...] = (
            (self._request, 24),
            (self._messages, 34),
            (self._piece, 8),
            (self._last_data, 8),
            (self._padded, 3),
            (self._split_request, 3),
            (self._trailers, 2),
            (self._reset, 4),
            (self._ping, 2),
            (self._settings, 2),
            (self._acknowledge, 2),
            (self._widen, 12),
            (self._ignored, 2),
        )
        self._ordinary = [kind for kind, _ in ordinary]
        self._weights = [weight for _, weight in ordinary]
        self._deviant: tuple[Callable[[], bytes], ...] = (
            self._stray,
            self._odd_id,
            self._wrong_settings,
            self._wrong_window,
            self._wrong_size,
            self._wrong_block,
            self._overrun,
            self._broken_continuation,
            self._leave,
            self._noise,
        )

    def greeting(self) -> bytes:
        """The connection preface."""
        greeting = f.PREFACE + self._settings()
        if self.rng.random() < 0.7:
            greeting += self._acknowledge()
        return greeting + f.window_update(0, self.rng.choice((1, 1000, 2**30)))

    def frames(self, count: int, deviance: float) -> list[bytes]:
        """The next frames; ``deviance`` is the share that breaks rules, each of its kinds as likely."""
        rng = self.rng
        made = [self._request()]
        for kind in rng.choices(self._ordinary, self._weights, k=count):
            if rng.random() >= deviance:
                made.append(kind())
            elif rng.random() < 0.5:
                made.append(rng.choice(self._deviant)())
            else:
                made.append(self._mutated(kind()))
        return made

    # ---- what clients send

    def _stream(self) -> int:
        """A stream that was opened, most often a late one."""
        if not self._open:
            return 1
        return self.rng.choice(self._open[-6:] if self.rng.random() < 0.9 else self._open)

    def _block(self) -> bytes:
        rng = self.rng
        path = rng.choice(_PATHS)
        fields: list[Field] = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"a")]
        fields.append((b"content-type", b"application/grpc"))
        if rng.random() < 0.2:
            fields.append((b"x-request-id", b"%x" % rng.getrandbits(64)))
        if rng.random() < 0.08:
            fields.insert(rng.randrange(len(fields) + 1), rng.choice(_ODD_FIELDS))
        if rng.random() < 0.02:
            del fields[rng.randrange(4)]
        if rng.random() < 0.4:
            block: bytes = self._encoder.encode(fields, huffman=rng.random() < 0.5)
            return block
        return (b"\x20" if self._acknowledged else b"") + encode_fields(fields)

    def _open_stream(self) -> int:
        opened = self._next
        self._next += 2 if self.rng.random() < 0.97 else 2 * self.rng.randrange(1, 20)
        self._open.append(opened)
        return opened

    def _request(self) -> bytes:
        flags = f.END_HEADERS | (f.END_STREAM if self.rng.random() < 0.05 else 0)
        if self.rng.random() < 0.05:
            return frame(f.HEADERS, flags | f.PRIORITY_FLAG, self._open_stream(), bytes(5) + self._block())
        return frame(f.HEADERS, flags, self._open_stream(), self._block())

    def _split_request(self) -> bytes:
        block = self._block()
        cuts = sorted(self.rng.randrange(len(block) + 1) for _ in range(self.rng.randrange(1, 5)))
        pieces = [block[start:end] for start, end in zip([0, *cuts], [*cuts, len(block)], strict=True)]
        stream = self._open_stream()
        made = frame(f.HEADERS, 0, stream, pieces[0])
        for piece in pieces[1:-1]:
            made += frame(f.CONTINUATION, 0, stream, piece)
        return made + frame(f.CONTINUATION, f.END_HEADERS, stream, pieces[-1])

    def _message(self) -> bytes:
        """One gRPC message; its first byte tells the service what to do."""
        rng = self.rng
        size = rng.choice((0, 1, 20, 300, 300, 5000))
        body = bytes((rng.randrange(10),)) + rng.randbytes(size) if size else b""
        flag = 0 if rng.random() < 0.99 else rng.randrange(256)
        return PREFIX.pack(flag, len(body) if rng.random() < 0.99 else rng.randrange(2**32)) + body

    def _messages(self) -> bytes:
        body = b"".join(self._message() for _ in range(self.rng.choice((1, 1, 1, 3, 8))))
        return frame(f.DATA, 0, self._stream(), body[:16_384])

    def _piece(self) -> bytes:
        """Part of a message, or whatever the next part is taken for."""
        whole = self._message()
        return frame(f.DATA, 0, self._stream(), whole[: self.rng.randrange(len(whole) + 1)])

    def _last_data(self) -> bytes:
        body = self._message() if self.rng.random() < 0.7 else b""
        return frame(f.DATA, f.END_STREAM, self._stream(), body)

    def _padded(self) -> bytes:
        pad = self.rng.randrange(256)
        body = self._message() if self.rng.random() < 0.8 else b""
        return frame(f.DATA, f.PADDED, self._stream(), bytes((pad,)) + body + bytes(pad))

    def _trailers(self) -> bytes:
        request = self._request() if self.rng.random() < 0.8 else b""
        block = encode_fields(((b"checksum", b"1"),))
        return request + frame(f.HEADERS, f.END_HEADERS | f.END_STREAM, self._open[-1], block)

    def _reset(self) -> bytes:
        return f.rst_stream(self._stream(), self.rng.choice((0, 8, 2**32 - 1)))

    def _ping(self) -> bytes:
        return f.ping(self.rng.choice((b"draining", bytes(8))), ack=self.rng.random() < 0.5)

    def _settings(self) -> bytes:
        chosen = self.rng.sample(_SETTINGS, self.rng.randrange(3))
        return f.settings((name, self.rng.choice(values)) for name, values in chosen)

    def _acknowledge(self) -> bytes:
        if not self._acknowledged:
            self._acknowledged = True
            self._encoder.header_table_size = 0
        return f.SETTINGS_ACK

    def _widen(self) -> bytes:
        stream = 0 if self.rng.random() < 0.5 else self._stream()
        return f.window_update(stream, self.rng.choice((1, 5, 300, 20_000)))

    def _ignored(self) -> bytes:
        if self.rng.random() < 0.5:
            return frame(f.PRIORITY, 0, self._stream(), bytes(5))
        return frame(self.rng.randrange(10, 256), self.rng.randrange(256), self._stream(), self.rng.randbytes(9))

    # ---- what clients must not send

    def _stray(self) -> bytes:
        stream = self.rng.choice((0, 2, self._next, self._next + 100, max(1, self._next - 40)))
        return frame(self.rng.randrange(10), self.rng.choice((0, 1, 4, 5)), stream, bytes(self.rng.choice((0, 4, 8))))

    def _odd_id(self) -> bytes:
        stream = self.rng.choice((0, 2, 1, 2**31 - 1, 2**32 - 1))
        return frame(f.HEADERS, f.END_HEADERS, stream, self._block())

    def _wrong_settings(self) -> bytes:
        return f.settings((self.rng.choice(_WRONG_SETTINGS),))

    def _wrong_window(self) -> bytes:
        return f.window_update(self.rng.choice((0, self._stream())), self.rng.choice((0, 2**31 - 1)))

    def _wrong_size(self) -> bytes:
        return frame(self.rng.randrange(10), self.rng.choice((0, 8, 32)), self._stream(), bytes(self.rng.randrange(12)))

    def _wrong_block(self) -> bytes:
        block = self.rng.choice((b"\x80", b"\x20" * 50, b"\x82" * 400, b"\xff" * 12, self.rng.randbytes(30)))
        return frame(f.HEADERS, f.END_HEADERS, self._open_stream(), block)

    def _overrun(self) -> bytes:
        return frame(f.DATA, 0, self._stream(), bytes(16_384)) * self.rng.randrange(1, 8)

    def _broken_continuation(self) -> bytes:
        stream = self._open_stream()
        started = frame(f.HEADERS, 0, stream, self._block())
        rest = frame(f.CONTINUATION, 0, stream, b"") * self.rng.choice((0, 1, 40))
        return started + rest + self.rng.choice((f.ping(bytes(8)), frame(f.CONTINUATION, f.END_HEADERS, stream + 2)))

    def _leave(self) -> bytes:
        return f.goaway(0, 0) * self.rng.choice((1, 300))

    def _noise(self) -> bytes:
        return self.rng.randbytes(self.rng.randrange(1, 60))

    def _mutated(self, whole: bytes) -> bytes:
        """A frame with something wrong in it."""
        rng = self.rng
        made = bytearray(whole)
        choice = rng.random()
        if choice < 0.6:
            for _ in range(rng.randrange(1, 4)):
                made[rng.randrange(len(made))] = rng.randrange(256)
        elif choice < 0.8:
            del made[rng.randrange(len(made)) :]
        else:
            made *= rng.randrange(2, 5)
        return bytes(made)


def cut(data: bytes, rng: Random) -> list[bytes]:
    """Cut bytes into reads at arbitrary places."""
    style = rng.random()
    if style < 0.3:
        return [data]
    longest = 2000 if style < 0.9 else 40
    reads = []
    at = 0
    while at < len(data):
        size = rng.randrange(1, longest)
        reads.append(data[at : at + size])
        at += size
    return reads
