"""Reading one field of a table's line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from signalbox.lab.traces.problem import InvalidTrace

_DIGITS = 4000  # beyond 4,300 Python refuses to read a number
_FRACTION = 6  # digits of a second that Python's dates hold


class Row:
    """One line of a table: its fields by their names, and where it stands."""

    def __init__(self, path: Path, line: int, fields: Mapping[str, str]) -> None:
        self.path = path
        self.line = line
        self.fields = fields

    def problem(self, field: str, message: str) -> InvalidTrace:
        """Say what is wrong with a field of this line."""
        return InvalidTrace(self.path, message, line=self.line, field=field)

    def count(self, field: str, least: int = 0) -> int:
        """A whole number of at least ``least``."""
        text = self.fields[field].strip()
        if not text.isdecimal() or len(text) > _DIGITS or int(text) < least:
            raise self.problem(field, f"{text!r} is not a whole number of at least {least}")
        return int(text)

    def optional_count(self, field: str) -> int | None:
        """A whole number, or nothing."""
        return self.count(field) if self.text(field) else None

    def whole(self, field: str, default: int) -> int:
        """A whole number, perhaps below zero."""
        text = self.text(field)
        if not text:
            return default
        try:
            return int(_plain(text))
        except ValueError:
            raise self.problem(field, f"{text!r} is not a whole number") from None

    def flag(self, field: str, *, default: bool) -> bool:
        """True or false, also as 1 or 0."""
        text = self.text(field).lower()
        if text not in ("", "true", "false", "1", "0"):
            raise self.problem(field, f"{text!r} is neither true nor false")
        return default if not text else text in ("true", "1")

    def text(self, field: str) -> str:
        """The field, or nothing where there is no such column."""
        return (self.fields.get(field) or "").strip()

    def seconds(self, field: str) -> float:
        """A time in seconds: a number of them, or a date and time of day, UTC where it does not say."""
        text = self.fields[field].strip()
        try:
            number = float(_plain(text))
        except ValueError:
            return self._date(field, text)
        if not math.isfinite(number):
            raise self.problem(field, f"{text!r} is not a time")
        return number

    def _date(self, field: str, text: str) -> float:
        head, point, rest = text.partition(".")
        digits = len(rest) - len(rest.lstrip("0123456789"))
        if point:
            text = f"{head}.{rest[: min(digits, _FRACTION)]}{rest[digits:]}"  # some clocks write seven digits
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise self.problem(field, f"{text!r} is neither a number of seconds nor a date and time") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _plain(text: str) -> str:
    """The same; raises ValueError for underscores, which Python takes between digits and no trace means."""
    if "_" in text:
        raise ValueError(text)
    return text
