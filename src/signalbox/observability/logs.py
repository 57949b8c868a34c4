"""Structured logs: one JSON object a line.

A log call adds fields with ``extra``: ``log.info("request routed", extra={"request_id": "r-1", "endpoint": "pod-0"})``.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import msgspec

LogFormat = Literal["json", "console"]

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_OWN = frozenset({"time", "level", "logger"})

_VERBOSITY = {2: logging.INFO, 3: logging.INFO, 4: logging.DEBUG, 5: logging.DEBUG}


def level_of_verbosity(verbosity: int) -> int:
    """Return the logging level for the reference's ``-v``: 2 DEFAULT, 3 VERBOSE, 4 DEBUG, 5 TRACE.

    Below 2 only warnings are left; above 5 is as 5.
    """
    if verbosity < 2:
        return logging.WARNING
    return _VERBOSITY.get(verbosity, logging.DEBUG)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _plain(value: object) -> object:
    return str(value)


class JSONFormatter(logging.Formatter):
    """Writes ``time`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, then the fields of the call.

    A field that takes one of those names gets an underscore after it; what JSON cannot hold is written as text.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in _fields(record).items():
            line[f"{name}_" if name in _OWN else name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return msgspec.json.encode(line, enc_hook=_plain).decode()
        except (ValueError, TypeError, RecursionError):
            # Lone surrogates, keys that are no strings: rather a line of plain text than a lost one.
            safe = {name: str(value).encode("utf-8", "backslashreplace").decode() for name, value in line.items()}
            return msgspec.json.encode(safe).decode()


class ConsoleFormatter(logging.Formatter):
    """Writes a line for people: time of day, level, logger, message, fields as ``name=value``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line without exception text, which `logging.Formatter` adds."""
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        return super().formatMessage(record) + fields


def configure_logging(level: int | str = logging.INFO, fmt: LogFormat = "json", stream: TextIO | None = None) -> None:
    """Send all logs of this process to ``stream`` (standard error by default), in place of what was set up before.

    ``level`` is a number or a name of `logging`, such as ``"info"``. Raises `ValueError` for an unknown level or
    format.
    """
    if fmt not in {"json", "console"}:
        raise ValueError(f"log format {fmt!r} is unknown: use 'json' or 'console'")
    if isinstance(level, str):
        known = logging.getLevelNamesMapping()
        if level.upper() not in known:
            raise ValueError(f"log level {level!r} is unknown: use one of debug, info, warning, error, critical")
        level = known[level.upper()]
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JSONFormatter() if fmt == "json" else ConsoleFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
