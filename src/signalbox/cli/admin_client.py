"""Asking a running picker's admin pages, for ``signalbox explain`` and ``signalbox status``."""

from __future__ import annotations

import contextlib
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from signalbox.cli.registered import running

DEFAULT = "http://127.0.0.1:9090"
TIMEOUT = 10.0
"""Seconds an answer may take."""

# Straight to the picker: a proxy in the environment is for the internet.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Server:
    """A picker's metrics port, and the bearer token for it if it wants one."""

    url: str
    token: str = ""


class AdminError(Exception):
    """Why there is no answer. ``status`` is the exit status: 2 for what the command line got wrong, 1 for the rest."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class NotFound(AdminError):
    """The picker answers that there is no such thing; ``answer`` is what it says about it."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(str(answer.get("error", "not found")))
        self.answer = answer


def choose_server(server: str | None, token_file: Path | None = None) -> Server:
    """Return the picker to ask: the one named, the only one that runs here, or the default port of this machine.

    Raises:
        AdminError: the name is no HTTP address, several pickers run here, or the token cannot be read.
    """
    try:
        token = "" if token_file is None else token_file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AdminError(f"--token-file {token_file}: {getattr(error, 'strerror', None) or error}", 2) from None
    if not (token.isascii() and token.isprintable()):
        raise AdminError(f"--token-file {token_file}: holds something else than a bearer token", 2)
    if server is not None:
        url = server if "://" in server else f"http://{server}"
        try:
            parts = urlsplit(url)
            usable = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0 and not parts.query
        except ValueError:
            usable = False
        if not usable:
            raise AdminError(f"--server {server}: give the picker's metrics port as http://HOST:PORT", 2)
        return Server(url.rstrip("/"), token)
    here = running()
    if len(here) > 1:
        listed = "; ".join(f"{picker.pool} at {picker.url}" for picker in here)
        raise AdminError(f"{len(here)} pickers run here: {listed}; choose one with --server URL", 2)
    return Server(here[0].url if here else DEFAULT, token)


def fetch(server: Server, path: str) -> dict[str, Any]:
    """Return the JSON object at ``path``.

    Raises:
        NotFound: the picker has no such thing.
        AdminError: nobody answers, or somebody who is not a picker.
    """
    with _opened(server, path) as answer:
        return _object(server, path, answer.read())


def follow(server: Server, path: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a stream of lines, until the picker ends it.

    Raises:
        AdminError: as :func:`fetch`; the stream broke off.
    """
    with _opened(server, path, patient=True) as answer:
        if answer.headers.get_content_type() != "application/x-ndjson":
            raise _stranger(server, path, f"answered {answer.headers.get_content_type()}")
        try:
            for line in answer:
                if line.strip():
                    yield _object(server, path, line)
        except (OSError, http.client.HTTPException) as error:
            cause = "the picker stopped, or this reader was too slow for it"
            raise AdminError(f"{server.url} broke off: {error or type(error).__name__}; {cause}") from None


@contextlib.contextmanager
def _opened(server: Server, path: str, patient: bool = False) -> Iterator[http.client.HTTPResponse]:
    try:
        headers = {"Authorization": f"Bearer {server.token}"} if server.token else {}
        request = urllib.request.Request(server.url + path, headers=headers)
        answer = _opener.open(request, timeout=None if patient else TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            raise _told(server, path, error.code, error.read()) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        said = getattr(reason, "strerror", None) or str(reason) or type(error).__name__
        fix = "give the metrics port of a running picker with --server URL"
        raise AdminError(f"no picker at {server.url}: {said}; {fix}") from None
    with answer:
        yield answer


def _told(server: Server, path: str, status: int, body: bytes) -> AdminError:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or "error" not in answer:
        return _stranger(server, path, f"answered {status}")
    if status == 404:
        return NotFound(answer)
    fix = "; give a token that may read its metrics with --token-file" if status in (401, 403) else ""
    return AdminError(f"{server.url}: {answer['error']}{fix}")


def _object(server: Server, path: str, body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise _stranger(server, path, "answered something else than a JSON object")
    return found


def _stranger(server: Server, path: str, said: str) -> AdminError:
    fix = "give the metrics port of a picker with --server URL"
    return AdminError(f"{server.url} is not a picker's admin port: GET {path} {said}; {fix}")
