"""A keep-alive HTTP connection that fetches one page, over and over.

Scraping never stops: 8 endpoints every 50 ms are 160 requests a second, of which a general HTTP client makes 0.12 of
a core. What is needed is small: one GET at a time, always the same bytes, to one address. So the request is built
once, the answer goes through the C parser `httptools` wraps, and there is nothing else. Figures: ``python -m
bench.scrape``.
"""

from __future__ import annotations

import asyncio

import httptools

from signalbox.pool.endpoints import join_address

LARGEST_PAGE = 8 * 1024 * 1024
"""Bytes. A vLLM server with every family on has a page of about 100 KB."""


class ScrapeError(Exception):
    """A server answered, but not with a page that can be used."""


class PageConnection:
    """Fetches ``http://host:port/path``; connects when needed and keeps the connection while the server does.

    Use from one task: one fetch at a time. A fetch that fails or is cancelled closes the connection, so that a late
    answer is never taken for the next one.
    """

    def __init__(self, host: str, port: int, path: str = "/metrics") -> None:
        self._host = host
        self._port = port
        address = join_address(host, port)
        head = f"GET {path} HTTP/1.1\r\nHost: {address}\r\n"
        self._request = f"{head}Accept: text/plain;version=0.0.4\r\nAccept-Encoding: identity\r\n\r\n".encode("ascii")
        self._reply: Reply | None = None

    async def fetch(self) -> bytes:
        """Return the page.

        Raises `ScrapeError` for a status other than 200, an answer that is not HTTP, or a page over ``LARGEST_PAGE``;
        `OSError` for a connection that fails. Has no timeout of its own.
        """
        reply = self._reply
        if reply is None or reply.closed:
            loop = asyncio.get_running_loop()
            _, reply = await loop.create_connection(lambda: Reply(loop), self._host, self._port)
            self._reply = reply
        try:
            return await reply.exchange(self._request)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._reply is not None:
            self._reply.abort()
            self._reply = None


class Reply(asyncio.Protocol):
    """The client's side of one connection, one exchange at a time; also the callbacks of its parser."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[bytes] | None = None
        self._body: list[bytes] = []
        self._size = 0
        self.closed = False

    async def exchange(self, request: bytes) -> bytes:
        """Send the request and wait for its answer; raises as `PageConnection.fetch` does."""
        assert self._transport is not None
        self._body.clear()
        self._size = 0
        self._waiter = self._loop.create_future()
        self._transport.write(request)
        return await self._waiter

    def abort(self) -> None:
        """Close at once."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Feed the parser; what it does not understand fails the fetch."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._fail(cause if isinstance(cause, ScrapeError) else ScrapeError(f"the answer is not HTTP: {error}"))
        except httptools.HttpParserUpgrade:
            self._fail(ScrapeError("the answer switches protocols"))

    def connection_lost(self, exc: Exception | None) -> None:
        """The server closed, or the link broke."""
        self.closed = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc or ConnectionResetError("the server closed the connection"))

    def on_body(self, data: bytes) -> None:
        """A piece of the page."""
        self._size += len(data)
        if self._size > LARGEST_PAGE:
            raise ScrapeError(f"a page of more than {LARGEST_PAGE} bytes")
        self._body.append(data)

    def on_message_complete(self) -> None:
        """The whole answer is here."""
        if self._parser.get_status_code() // 100 == 1:
            return
        if not self._parser.should_keep_alive():
            self.abort()
        if self._waiter is None or self._waiter.done():
            self.abort()  # an answer nobody asked for
        elif self._parser.get_status_code() != 200:
            self._waiter.set_exception(ScrapeError(f"status {self._parser.get_status_code()}"))
        else:
            self._waiter.set_result(self._body[0] if len(self._body) == 1 else b"".join(self._body))

    def _fail(self, error: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
        self.abort()
