"""Prometheus' text format, as far as a scrape needs it: the samples of a few families of one page.

A vLLM page has 500 and more lines, of which a dozen matter, and a pool is scraped twenty times a second, so a line
is dropped by its first bytes and labels are taken apart only where somebody asks for them.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

# Possessive quantifiers: a broken line must not send the matcher backtracking.
_SAMPLE = re.compile(
    rb'([a-zA-Z_:][a-zA-Z0-9_:]*+)[ \t]*+(?:\{((?:[^"}]++|"(?:[^"\\]++|\\.)*+")*+)\}|(?<=[ \t]))'
    rb"[ \t]*+([^ \t\r]++)(?:[ \t]++(-?[0-9]++))?"
)
_LABEL = re.compile(rb'([a-zA-Z_][a-zA-Z0-9_]*+)[ \t]*+=[ \t]*+"((?:[^"\\]++|\\.)*+)"')
_TYPE = b"# TYPE "
_ESCAPE = re.compile(rb'\\([\\n"])')


class Sample(NamedTuple):
    """One line of a page: the bytes between its braces, its value, its timestamp (ms; 0 where there is none)."""

    raw_labels: bytes
    value: float
    timestamp: int


def beginnings_of(families: Collection[bytes]) -> tuple[bytes, ...]:
    """How the lines of ``families`` begin: one cheap test drops the rest of a page."""
    return (*families, *(_TYPE + family for family in families))


def samples(page: bytes, families: Collection[bytes], beginnings: tuple[bytes, ...]) -> dict[bytes, list[Sample]]:
    """The samples of ``families`` on ``page``, in the order of the page.

    A family that is only declared (``# TYPE``) is there with an empty list; ``beginnings`` is ``beginnings_of(...)``.
    Lines that cannot be read are left out; no input raises.
    """
    found: dict[bytes, list[Sample]] = {}
    for line in [line for line in page.split(b"\n") if line.startswith(beginnings)]:
        if line.startswith(_TYPE):
            declared = line.split(b" ", 3)[2]
            if declared in families:
                found.setdefault(declared, [])
            continue
        match = _SAMPLE.match(line)
        if match is None or match[1] not in families:
            continue
        try:
            sample = Sample(match[2] or b"", float(match[3]), int(match[4] or 0))
        except ValueError:
            continue
        found.setdefault(match[1], []).append(sample)
    return found


def labels_of(raw: bytes) -> dict[str, str]:
    r"""Take the bytes between a sample's braces apart; ``\\``, ``\"`` and ``\n`` are unescaped, bad UTF-8 replaced."""
    return {
        name.decode(): (_ESCAPE.sub(_unescape, value) if b"\\" in value else value).decode(errors="replace")
        for name, value in _LABEL.findall(raw)
    }


def _unescape(match: re.Match[bytes]) -> bytes:
    return b"\n" if match[1] == b"n" else match[1]
