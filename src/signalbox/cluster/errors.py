"""What can go wrong between here and an API server."""

from __future__ import annotations

import msgspec


class NoAccess(Exception):
    """There is no API server to talk to, or its configuration cannot be used; the message names the file and the
    fix."""


class ApiFailure(Exception):
    """A request to the API server did not do what it was to do."""


class Unreachable(ApiFailure):
    """There was no answer, or only half of one: nothing listens, the network is gone, TLS fails, time is up."""


class Refused(ApiFailure):
    """The API server answered with an error; the message is its own."""

    def __init__(self, code: int, message: str, retry_after: float = 0.0, *, genuine: bool = True) -> None:
        """``code`` is the HTTP status, ``retry_after`` the seconds the server asks to be left alone for; ``genuine``
        is whether the body is one that API servers write, and not that of a proxy in between."""
        super().__init__(f"{code}: {message}")
        self.genuine = genuine
        self.code = code
        self.message = message
        self.retry_after = retry_after

    @property
    def gone(self) -> bool:
        """Whether the version asked for is older than the server's memory (HTTP 410)."""
        return self.code == 410


class _Details(msgspec.Struct):
    retry_after: int | None = msgspec.field(name="retryAfterSeconds", default=None)


_NO_SUCH_PATH = "404 page not found"
"""What an API server says, as plain text, of a group that it does not have."""


class _Status(msgspec.Struct):
    """``v1`` Status, as far as it is read here."""

    kind: str = ""
    code: int = 0
    message: str = ""
    reason: str = ""
    details: _Details | None = None


def refusal(content: bytes | msgspec.Raw, code: int = 0, retry_after: str | None = None) -> Refused:
    """Return the error that a body describes, a ``Status`` or any text.

    ``code`` is the HTTP status and ``retry_after`` the header of that name, where there are such.
    """
    seconds = float(retry_after) if retry_after is not None and retry_after.isdecimal() else 0.0
    try:
        status = msgspec.json.decode(content, type=_Status)
    except msgspec.MsgspecError:
        text = bytes(content)[:200].decode(errors="replace").strip()
        return Refused(code or 500, text or "no reason given", seconds, genuine=text == _NO_SUCH_PATH)
    if status.details is not None and status.details.retry_after is not None:
        seconds = max(seconds, float(status.details.retry_after))
    message = status.message or status.reason or "no reason given"
    return Refused(code or status.code or 500, message, seconds, genuine=status.kind == "Status")
