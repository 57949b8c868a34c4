"""Errors of a request body, and the shape in which a client reads them."""

from __future__ import annotations

import msgspec


class PayloadError(Exception):
    """A request body that cannot be routed.

    ``status`` is the HTTP status to answer with, ``message`` is meant for the client, and ``param`` names the
    field at fault (``None`` when it is the body as a whole).
    """

    def __init__(self, status: int, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param


def error_body(message: str, type: str, code: str | int | None, param: str | None = None) -> bytes:
    """Return OpenAI's nested error object as JSON.

    ``type`` is one of OpenAI's families (``invalid_request_error``, ``rate_limit_error``, ``server_error``, ...);
    ``code`` is a word such as ``model_not_found``, or ``None``; ``param`` names the request field at fault.
    """
    error = {"message": message, "type": type, "param": param, "code": code}
    try:
        return msgspec.json.encode({"error": error})
    except UnicodeEncodeError:
        # A message may quote what a client sent, and Python strings can hold lone surrogates that UTF-8 cannot.
        error["message"] = message.encode("utf-8", "replace").decode()
        return msgspec.json.encode({"error": error})
