"""Ask a service, or the model servers themselves, for the token ids of prompts.

A request waits for the answer, so a service that does not answer must not hold up many: one that cannot be reached, or
was late several times in a row, is left alone for a while, and requests go on without token ids meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import msgspec
import xxhash

from signalbox.director import Asking, Tokens
from signalbox.pool import Endpoint
from signalbox.pool.endpoints import join_address
from signalbox.scheduling.prefix.token_source import RENDER, TokenSource
from signalbox.signals.connection import Reply, ScrapeError
from signalbox.signals.token_answers import BadAnswer, read_tokens

log = logging.getLogger(__name__)

IN_FLIGHT = 64
"""Questions under way at one time."""
WAITING = 1024
"""Questions that wait for one of these; beyond, requests go on without an answer."""
REMEMBERED = 64 * 1024 * 1024
"""Bytes of token ids that are remembered with the prompts they belong to."""
LATE = 3
"""Late answers in a row after which a service is left alone."""
SHORTEST, LONGEST = 0.5, 5.0
"""Seconds for which a service is left alone: after the first failure, and at most."""

_NOT_THE_PROMPT = frozenset(f"status {status}" for status in (401, 403, 404, 405, 407, 408, 421, 425, 426, 429))
"""Refusals that say something of the service or of who asks, and nothing of the prompt."""

_ENTRY = 200  # bytes of one remembered prompt beside its token ids


class TokenFigures(msgspec.Struct):
    """What became of questions."""

    asked: int = 0
    remembered: int = 0
    """Answered from memory."""
    failed: int = 0
    """No answer, or none that makes sense."""
    refused: int = 0
    """The service found something wrong with the prompt."""
    skipped: int = 0
    """Not asked, since the service does not answer or too many questions are under way."""


class _Server:
    """One address that questions go to."""

    def __init__(self, host: str, port: int, tls: bool, base: str) -> None:
        self.host, self.port, self.base = host, port, base
        self.tls = ssl.create_default_context() if tls else None
        self.name = join_address(host, port)
        self.idle: list[Reply] = []
        self.late = 0
        self.failures = 0
        self.not_before = 0.0
        self.trying = False

    def usable(self, now: float) -> bool:
        """Whether to ask it: always while it answers, one question at a time to see whether it does again."""
        return not self.failures or (now >= self.not_before and not self.trying)

    def kept(self) -> Reply | None:
        """A connection that stands and is not in use."""
        while self.idle:
            reply = self.idle.pop()
            if not reply.closed:
                return reply
        return None

    def close(self) -> None:
        for reply in self.idle:
            reply.abort()
        self.idle.clear()


class TokenClient:
    """Gets token ids, and remembers them. To be used on one event loop."""

    def __init__(
        self, endpoints: Callable[[], Sequence[Endpoint]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``endpoints`` are the model servers there are now."""
        self._endpoints = endpoints
        self._clock = clock
        self._servers: dict[tuple[str, int, bool, str], _Server] = {}
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._waiting = 0
        self._memory: OrderedDict[bytes, Tokens] = OrderedDict()
        self._memory_bytes = 0
        self._turn = 0
        self.figures = TokenFigures()

    @property
    def outages(self) -> list[str]:
        """The addresses that do not answer."""
        return sorted([server.name for server in self._servers.values() if server.failures])

    def remembered(self, asking: Asking) -> Tokens | None:
        """Return what is known without asking."""
        key = _key(asking)
        found = self._memory.get(key)
        if found is not None:
            self._memory.move_to_end(key)
            self.figures.remembered += 1
        return found

    async def ask(self, asking: Asking) -> Tokens | None:
        """Return the token ids of a prompt; ``None`` where they are not to be had in time."""
        if self._waiting >= WAITING:
            self.figures.skipped += 1
            return None
        timeout = asking.source.media_timeout if asking.media else asking.source.timeout
        server: _Server | None = None
        self._waiting += 1
        try:
            async with asyncio.timeout(timeout), self._slots:
                server = self._choose(asking.source)
                if server is None:
                    self.figures.skipped += 1
                    return None
                self.figures.asked += 1
                server.trying = True
                tokens = await self._ask(server, asking)
        except TimeoutError:
            self._late(server, timeout)
            return None
        except (OSError, ScrapeError, BadAnswer) as error:
            assert server is not None
            self._failed(server, error)
            return None
        finally:
            self._waiting -= 1
            if server is not None:
                server.trying = False
        if tokens is not None:
            self._remember(_key(asking), tokens)
        return tokens

    def close(self) -> None:
        """Close every connection."""
        for server in self._servers.values():
            server.close()

    # -- one question -------------------------------------------------------------------------------------------

    async def _ask(self, server: _Server, asking: Asking) -> Tokens | None:
        head = f"POST {server.base}{asking.path} HTTP/1.1\r\nHost: {server.name}\r\nContent-Type: application/json\r\n"
        request = (
            f"{head}Accept-Encoding: identity\r\nContent-Length: {len(asking.body)}\r\n\r\n".encode() + asking.body
        )
        while True:
            kept = server.kept()
            reply = await self._connect(server) if kept is None else kept
            try:
                answer = await reply.exchange(request)
            except ScrapeError as error:
                reply.abort()
                if not str(error).startswith("status 4") or str(error) in _NOT_THE_PROMPT:
                    raise
                self._answered(server)
                self.figures.refused += 1
                return None
            except OSError:
                reply.abort()
                if kept is not None:
                    continue  # it was closed while nobody looked
                raise
            except BaseException:
                reply.abort()  # or a late answer would be taken for the next one
                raise
            if not reply.closed:
                server.idle.append(reply)
            tokens = read_tokens(answer)
            self._answered(server)
            return tokens

    async def _connect(self, server: _Server) -> Reply:
        loop = asyncio.get_running_loop()
        name = server.host if server.tls is not None else None
        _, reply = await loop.create_connection(
            lambda: Reply(loop), server.host, server.port, ssl=server.tls, server_hostname=name
        )
        return reply

    # -- who is asked -------------------------------------------------------------------------------------------

    def _choose(self, source: TokenSource) -> _Server | None:
        now = self._clock()
        if source.backend == RENDER:
            parts = urlsplit(source.url)
            tls = parts.scheme == "https"
            port = parts.port or (443 if tls else 80)
            server = self._server((parts.hostname or "", port, tls, parts.path.rstrip("/")))
            return server if server.usable(now) else None
        endpoints = self._endpoints()
        known = {(endpoint.host, endpoint.port, False, "") for endpoint in endpoints}
        for gone in [key for key in self._servers if key not in known]:
            self._servers.pop(gone).close()
        for _ in endpoints:
            self._turn += 1
            endpoint = endpoints[self._turn % len(endpoints)]
            server = self._server((endpoint.host, endpoint.port, False, ""))
            if server.usable(now):
                return server
        return None

    def _server(self, address: tuple[str, int, bool, str]) -> _Server:
        server = self._servers.get(address)
        if server is None:
            host, port, tls, base = address
            server = self._servers[address] = _Server(host, port, tls, base)
        return server

    def _answered(self, server: _Server) -> None:
        if server.failures:
            log.info("token ids: %s answers again", server.name)
        server.failures = server.late = 0

    def _late(self, server: _Server | None, timeout: float) -> None:
        if server is None:  # it waited for its turn all the time
            self.figures.skipped += 1
            return
        server.late += 1
        if server.late >= LATE or server.failures:
            self._failed(server, TimeoutError(f"no answer within {timeout:g} s, {server.late} times in a row"))
        else:
            self.figures.failed += 1

    def _failed(self, server: _Server, error: Exception) -> None:
        self.figures.failed += 1
        if not server.failures:
            log.warning(
                "token ids: %s does not tell any: %s; prompts are estimated until it does",
                server.name, str(error) or type(error).__name__,
            )  # fmt: skip
        server.close()
        now = self._clock()
        if now < server.not_before:
            return  # asked before that was known
        server.failures += 1
        server.not_before = now + min(SHORTEST * 2 ** min(server.failures - 1, 8), LONGEST)

    # -- memory -------------------------------------------------------------------------------------------------

    def _remember(self, key: bytes, tokens: Tokens) -> None:
        if key in self._memory:
            return
        size = _size(tokens)
        if size > REMEMBERED // 8:
            return
        self._memory[key] = tokens
        self._memory_bytes += size
        while self._memory_bytes > REMEMBERED:
            _, oldest = self._memory.popitem(last=False)
            self._memory_bytes -= _size(oldest)


def _key(asking: Asking) -> bytes:
    digest = xxhash.xxh3_128(asking.body)
    digest.update(f"{asking.path}\0{asking.source.url}".encode())
    return digest.digest()


def _size(tokens: Tokens) -> int:
    return _ENTRY + sum([len(sequence) for sequence in tokens.sequences]) + _ENTRY * len(tokens.media)
