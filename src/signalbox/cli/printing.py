"""Tables for terminals and for pipes."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 1000
"""Columns where nobody looks: a line in a pipe or a file is as long as it needs to be."""


def console() -> Console:
    """Standard output, as wide as the terminal."""
    return Console(highlight=False, soft_wrap=False) if sys.stdout.isatty() else Console(highlight=False, width=WIDE)


def table(*columns: str, title: str | None = None) -> Table:
    """A table without lines; columns whose name ends in ``>`` are numbers and stand right."""
    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold", title=title, title_justify="left")
    for column in columns:
        name = column.removesuffix(">")
        number = column.endswith(">")
        made.add_column(name, justify="right" if number else "left", no_wrap=number, overflow="fold")
    return made


def plain(text: str) -> Text:
    """Text as it is, even where it holds brackets; control characters, which clients may send, are shown."""
    return Text("".join(c if c.isprintable() else repr(c)[1:-1] for c in text))
