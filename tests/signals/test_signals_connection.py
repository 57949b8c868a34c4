"""One keep-alive connection: pages come back whole, and whatever is not a page is an error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from signalbox.signals.connection import LARGEST_PAGE, PageConnection, ScrapeError


class Server:
    """Answers each request with the next of ``answers``, cut into pieces; closes when they are used up."""

    def __init__(self, *answers: list[bytes]) -> None:
        self.answers = list(answers)
        self.connections = 0
        self.requests: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self.answers:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                for piece in self.answers.pop(0):
                    writer.write(piece)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(server: Server) -> AsyncIterator[PageConnection]:
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    connection = PageConnection("127.0.0.1", listener.sockets[0].getsockname()[1])
    try:
        yield connection
    finally:
        connection.close()
        listener.close()
        await listener.wait_closed()


def ok(body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def test_pages_come_over_one_connection() -> None:
    server = Server([ok(b"one")], [ok(b"two")], [ok(b"")])
    async with listening(server) as connection, asyncio.timeout(10):
        assert [await connection.fetch() for _ in range(3)] == [b"one", b"two", b""]
    assert server.connections == 1
    assert server.requests[0].startswith(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:")


async def test_an_answer_in_many_pieces_is_one_page() -> None:
    whole = ok(b"x" * 1000)
    server = Server([whole[index : index + 7] for index in range(0, len(whole), 7)])
    async with listening(server) as connection, asyncio.timeout(10):
        assert await connection.fetch() == b"x" * 1000


async def test_chunked_answers_and_interim_ones() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
    server = Server([chunked], [b"HTTP/1.1 100 Continue\r\n\r\n", ok(b"page")])
    async with listening(server) as connection, asyncio.timeout(10):
        assert await connection.fetch() == b"abcdefg"
        assert await connection.fetch() == b"page"


async def test_a_server_that_closes_after_each_answer_is_connected_to_again() -> None:
    server = Server([ok(b"one", b"Connection: close")], [ok(b"two")])
    async with listening(server) as connection, asyncio.timeout(10):
        assert await connection.fetch() == b"one"
        assert await connection.fetch() == b"two"
    assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"], "status 503"),
        ([b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"], "status 302"),
        ([b"SSH-2.0-OpenSSH_9.2\r\n\r\n"], "not HTTP"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: nonsense\r\n\r\n"], "not HTTP"),
    ],
)
async def test_what_is_no_page_is_an_error_and_the_next_fetch_starts_anew(answer: list[bytes], message: str) -> None:
    server = Server(answer, [ok(b"page")])
    async with listening(server) as connection, asyncio.timeout(10):
        with pytest.raises(ScrapeError, match=message):
            await connection.fetch()
        assert await connection.fetch() == b"page"
    assert server.connections == 2


async def test_a_page_without_end_is_cut_off() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (LARGEST_PAGE * 2)
    server = Server([head, *[b"x" * 1_000_000] * (LARGEST_PAGE // 1_000_000 + 2)])
    async with listening(server) as connection, asyncio.timeout(30):
        with pytest.raises(ScrapeError, match="more than"):
            await connection.fetch()


async def test_a_connection_that_ends_in_mid_answer_is_an_error() -> None:
    server = Server([ok(b"x" * 100)[:-50]])
    async with listening(server) as connection, asyncio.timeout(10):
        with pytest.raises(OSError, match="closed"):
            await connection.fetch()


async def test_a_fetch_that_is_given_up_leaves_nothing_for_the_next() -> None:
    asked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if not asked.is_set():
            asked.set()
            await reader.read()
        else:
            writer.write(ok(b"second"))
            await writer.drain()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    connection = PageConnection("127.0.0.1", listener.sockets[0].getsockname()[1])
    async with asyncio.timeout(10):
        first = asyncio.create_task(connection.fetch())
        await asked.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await connection.fetch() == b"second"
    connection.close()
    listener.close()
    await listener.wait_closed()


async def test_nobody_listens() -> None:
    listener = await asyncio.start_server(Server().serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    with pytest.raises(OSError, match=r"127\.0\.0\.1"):
        await PageConnection("127.0.0.1", port).fetch()
