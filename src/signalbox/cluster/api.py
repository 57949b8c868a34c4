"""Requests to an API server.

lightkube's own watch is not used: it raises on every error event before it has noted a version, starts over without a
version on 410, so that deletions are lost, cannot ask for bookmarks, and splits lines at U+0085 and its like, which
may stand inside an annotation. What is used of it is its reading of configurations and most of its authentication.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx2
import msgspec
from lightkube.core.exceptions import ConfigError

from signalbox.cluster.access import Access
from signalbox.cluster.errors import NoAccess, Unreachable, refusal

ANSWER_SECONDS = 10.0
"""How long the API server may take to answer; a watch may be silent for longer."""


class _Session:
    """A client with the credentials of one reading; closed when it is both replaced and unused."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client
        self.users = 0
        self.replaced = False


class Api:
    """The API server, over connections that are opened as needed and with credentials that are renewed as needed.

    Use `close` at the end.
    """

    def __init__(self, access: Access, answer_seconds: float = ANSWER_SECONDS) -> None:
        """Raises `NoAccess` where the configuration cannot be used."""
        self._access = access
        self._answer_seconds = answer_seconds
        self._session: _Session | None = _Session(access.connect(answer_seconds))

    def __str__(self) -> str:
        return str(self._access)

    async def request(
        self, method: str, path: str, params: Mapping[str, str] | None = None, body: object = None
    ) -> bytes:
        """Send one request, ``body`` as JSON, and return the body of its answer.

        Raises:
            Refused: the answer is an error.
            Unreachable: there is none.
        """
        content = None if body is None else msgspec.json.encode(body)
        headers = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if content else {})
        async with self._borrowed() as client:
            answer = await client.request(method, path, params=params, content=content, headers=headers)
            if answer.is_error:
                self._refuse(answer, client)
            return answer.content

    @asynccontextmanager
    async def stream(self, path: str, params: Mapping[str, str], silence: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """Send a GET whose answer goes on; the context gives its chunks as they come.

        ``silence`` is how many seconds may pass without one. Raises as `request` does, within the context too.
        """
        timeout = httpx2.Timeout(self._answer_seconds, read=silence)
        headers = {"Accept": "application/json"}
        async with (
            self._borrowed() as client,
            client.stream("GET", path, params=params, headers=headers, timeout=timeout) as answer,
        ):
            if answer.is_error:
                await answer.aread()
                self._refuse(answer, client)
            yield answer.aiter_bytes()

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.client.aclose()

    @asynccontextmanager
    async def _borrowed(self) -> AsyncIterator[httpx2.AsyncClient]:
        if self._session is None:
            self._session = _Session(self._connect())
        session = self._session
        session.users += 1
        try:
            yield session.client
        except httpx2.TransportError as error:
            if _is_certificate_failure(error):
                self._renew(session.client)
            raise Unreachable(_describe(error)) from error
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL) as error:
            raise Unreachable(_describe(error)) from error
        except (ConfigError, OSError) as error:  # the file of a token, or the program that prints one
            raise Unreachable(f"{self._access}: {error}") from error
        finally:
            session.users -= 1
            if session.replaced and session.users == 0:
                await session.client.aclose()

    def _connect(self) -> httpx2.AsyncClient:
        try:
            return self._access.connect(self._answer_seconds)
        except NoAccess as error:
            raise Unreachable(str(error)) from error

    def _refuse(self, answer: httpx2.Response, client: httpx2.AsyncClient) -> None:
        if answer.status_code == 401:
            self._renew(client)
        raise refusal(answer.content, answer.status_code, answer.headers.get("Retry-After"))

    def _renew(self, client: httpx2.AsyncClient) -> None:
        """Read tokens and certificates again before the next request; many may notice at once that it is time."""
        if self._session is not None and self._session.client is client:
            self._session.replaced = True
            self._session = None


def _is_certificate_failure(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _describe(error: Exception) -> str:
    name = type(error).__name__
    return f"{name}: {error}" if str(error) else name
