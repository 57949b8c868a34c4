"""Tokens from programs, whose answers may be anything, and may not come at all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator

import httpx2
import msgspec
from lightkube.config.models import UserExec
from lightkube.core.exceptions import ConfigError

PATIENCE = 60.0
"""Seconds that a program gets to print a token: time to log in by a browser, which some wait for."""

_VERSIONS = ("client.authentication.k8s.io/v1alpha1", "client.authentication.k8s.io/v1beta1")
_ENDING = 1.0


class _Status(msgspec.Struct):
    token: str


class _Credential(msgspec.Struct):
    """An ``ExecCredential``, as far as it is read here."""

    status: _Status


class TokenProgram(httpx2.Auth):
    """Puts the token that a program prints into every request, and asks the program again when it is refused.

    Raises `ConfigError` in a request where the program fails, prints something else, or prints nothing in time; then
    it is ended, with all that it started.
    """

    def __init__(self, program: UserExec) -> None:
        self._program = program
        self._bearer = ""

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Send the request, with another token if it is refused with 401."""
        if self._bearer:
            request.headers["Authorization"] = self._bearer
            answer = yield request
            if answer.status_code != 401:
                return
        self._bearer = f"Bearer {await self._ask()}"
        request.headers["Authorization"] = self._bearer
        yield request

    async def _ask(self) -> str:
        program = self._program
        if program.apiVersion not in _VERSIONS:
            raise ConfigError(f"auth exec api version {program.apiVersion} not implemented")
        given = {variable.name: variable.value for variable in program.env or ()}
        # In a session of its own, so that what it starts can be ended with it; nobody sits there to be asked anything.
        process = await asyncio.create_subprocess_exec(
            program.command,
            *(program.args or ()),
            env={**os.environ, **given},
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(PATIENCE):
                printed, complaint = await process.communicate()
        except BaseException as error:
            await _end(process)
            if not isinstance(error, TimeoutError):
                raise
            message = f"{program.command} printed no token within {PATIENCE:g} s and was ended; see why it hangs"
            raise ConfigError(message) from None
        if process.returncode:
            raise ConfigError(f"{program.command} returned {process.returncode}: {complaint.decode(errors='replace')}")
        try:
            return msgspec.json.decode(printed, type=_Credential).status.token
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{program.command} did not print an ExecCredential with status.token ({error})"
            ) from error


async def _end(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ENDING):  # what has left the session may hold the pipe for as long as it likes
            await process.wait()
