"""What is wrong with a trace."""

from __future__ import annotations

from pathlib import Path


class InvalidTrace(Exception):
    """A file that cannot be replayed; the message names the file, the line, the field and what was expected."""

    def __init__(self, path: Path, message: str, *, line: int = 0, field: str = "") -> None:
        place = f"{path}:{line}" if line else str(path)
        super().__init__(f"{place}: {field}: {message}" if field else f"{place}: {message}")
        self.path = path
        self.line = line
        self.field = field
