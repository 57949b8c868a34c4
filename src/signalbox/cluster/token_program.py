"""Tokens from programs, whose answers may be anything."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx2
from lightkube.core.exceptions import ConfigError


class TokenProgram(httpx2.Auth):
    """A program that prints a token, run by ``inner``; whatever it prints, what comes of it is a `ConfigError`."""

    def __init__(self, inner: httpx2.Auth, command: str) -> None:
        self._inner = inner
        self._command = command

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Send the request as ``inner`` has it."""
        flow = self._inner.async_auth_flow(request)
        answer: httpx2.Response | None = None
        try:
            while True:
                try:
                    ask = await (anext(flow) if answer is None else flow.asend(answer))
                except StopAsyncIteration:
                    return
                except (ValueError, LookupError, TypeError, AttributeError) as error:
                    said = f"{type(error).__name__}: {error}"
                    raise ConfigError(
                        f"{self._command} did not print an ExecCredential with status.token ({said})"
                    ) from error
                answer = yield ask
        finally:
            await flow.aclose()
