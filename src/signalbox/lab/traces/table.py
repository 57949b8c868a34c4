"""A CSV file with a header: what anybody's access log can be turned into."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import xxhash

from signalbox.lab.traces.bounds import bounded
from signalbox.lab.traces.fields import Row
from signalbox.lab.traces.problem import InvalidTrace
from signalbox.lab.workload import TraceRequest, chain

NEEDED = ("timestamp", "input_length", "output_length")
OPTIONAL = ("model", "adapter", "priority", "session", "tenant", "max_tokens", "stream", "usage", "hash_ids")


def read_table(path: Path, lines: Sequence[str]) -> tuple[list[TraceRequest], tuple[str, ...]]:
    """Read all lines: ``timestamp`` in seconds or as a date, lengths in tokens, ``hash_ids`` as words between spaces.

    Each word names the content of one block; blocks that come after different beginnings are different ones. Raises
    `InvalidTrace` for the first line that makes no sense.
    """
    requests = []
    for row in rows(path, lines, NEEDED, OPTIONAL):
        words = row.text("hash_ids").split()
        request = TraceRequest(
            at=row.seconds("timestamp"),
            prompt_tokens=row.count("input_length", 1),
            output_tokens=row.count("output_length", 1),
            blocks=chain(xxhash.xxh64_intdigest(word.encode()) for word in words),
            model=row.text("model"),
            adapter=row.text("adapter"),
            priority=row.whole("priority", 0),
            session=row.text("session"),
            tenant=row.text("tenant"),
            max_tokens=row.optional_count("max_tokens"),
            stream=row.flag("stream", default=True),
            usage=row.flag("usage", default=True),
        )
        requests.append(bounded(request, row.problem))
    return requests, ()


def rows(
    path: Path, lines: Sequence[str], needed: Sequence[str] = (), optional: Sequence[str] | None = None
) -> Iterator[Row]:
    """Yield the lines after the header. Raises `InvalidTrace` for a header without a field that is ``needed``, one
    with a field that is neither needed nor ``optional``, and for a line with more or fewer fields."""
    reader = csv.reader(lines)
    header: list[str] | None = None
    for values in _values(path, reader):
        if not any(value.strip() for value in values):
            continue
        if header is None:
            header = [value.strip() for value in values]
            _check(path, reader.line_num, header, needed, optional)
        elif len(values) != len(header):
            raise InvalidTrace(path, f"{len(values)} fields, but the header names {len(header)}", line=reader.line_num)
        else:
            yield Row(path, reader.line_num, dict(zip(header, values, strict=True)))


def _values(path: Path, reader: Any) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:  # a field of more than 128 KiB
        raise InvalidTrace(path, f"is no CSV: {error}", line=reader.line_num) from None


def _check(path: Path, line: int, header: Sequence[str], needed: Sequence[str], optional: Sequence[str] | None) -> None:
    for name in needed:
        if name not in header:
            raise InvalidTrace(path, f"the header has no column {name!r}", line=line)
    if optional is not None:
        for name in header:
            if name not in (*needed, *optional):
                known = ", ".join((*needed, *optional))
                raise InvalidTrace(path, f"the column {name!r} is unknown; known columns: {known}", line=line)
    if len(set(header)) != len(header):
        raise InvalidTrace(path, "the header names a column twice", line=line)
