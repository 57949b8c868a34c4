"""A bearer token out of a file that is renewed in place."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

import httpx2
from lightkube.core.exceptions import ConfigError

REREAD_SECONDS = 60.0
"""How old a token may get before its file is looked at again, as in the clients of Kubernetes' own programs: an API
server may go on taking a token that its log already calls stale."""


class TokenFile(httpx2.Auth):
    """Puts the file's token into every request. Raises `ConfigError` in a request while none could be read yet."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        """``clock`` is in seconds and never goes back."""
        self._path = path
        self._clock = clock
        self._bearer = ""
        self._read_at = 0.0

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Send the request, with what the file says by now if it is refused with 401."""
        if not self._bearer or self._clock() - self._read_at >= REREAD_SECONDS:
            self._read()
        request.headers["Authorization"] = self._bearer
        answer = yield request
        if answer.status_code == 401:
            self._read()
            request.headers["Authorization"] = self._bearer
            yield request

    def _read(self) -> None:
        """Read the file; one that cannot be read, or is being written, leaves the token that there was."""
        self._read_at = self._clock()
        try:
            token = self._path.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            problem = f"token file {self._path}: {getattr(error, 'strerror', None) or error}"
        else:
            problem = "" if token else f"token file {self._path}: is empty"
        if not problem:
            self._bearer = f"Bearer {token}"
        elif not self._bearer:
            raise ConfigError(problem)
