"""The picker's decision log: one JSON object a line, or a page of them as ``/debug/decisions`` shows it.

What a prompt was is not in it, only how long it was and how much of it the server had cached. So a replay of it tells
what becomes of load, not of prefix caches; the notes say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from signalbox.lab.traces.problem import InvalidTrace
from signalbox.lab.workload import TraceRequest


class _End(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Decision(msgspec.Struct):
    time: datetime
    outcome: str
    model: str = ""
    target: str = ""
    priority: int | None = None
    prompt_tokens: int | None = None
    """The picker's estimate."""
    end: _End | None = None


class _Page(msgspec.Struct):
    decisions: list[_Decision]


_DECODER = msgspec.json.Decoder(_Decision)
_PAGE = msgspec.json.Decoder(_Page)
_HEAD = 1000  # characters within which a page says what it holds


def read_decisions(path: Path, lines: Sequence[str]) -> tuple[list[TraceRequest], tuple[str, ...]]:
    """Read all lines. Raises `InvalidTrace` for the first that makes no sense."""
    requests = []
    refused = unended = 0
    for line in _decisions(path, lines):
        end = line.end
        prompt = line.prompt_tokens if end is None or end.prompt_tokens is None else end.prompt_tokens
        if line.outcome == "refused":
            refused += 1
        elif end is None or not end.completion_tokens or not prompt:
            unended += 1
        else:
            requests.append(
                TraceRequest(
                    at=line.time.timestamp(),
                    prompt_tokens=prompt,
                    output_tokens=end.completion_tokens,
                    model=line.target or line.model,
                    priority=line.priority or 0,
                )
            )
    notes = ["the log does not say which prompts share a beginning: none do"]
    if refused:
        notes.append(f"{refused} refused requests are left out: nobody knows how long their answers would have been")
    if unended:
        notes.append(f"{unended} requests without a count of output tokens are left out")
    return requests, tuple(notes)


def _decisions(path: Path, lines: Sequence[str]) -> Iterator[_Decision]:
    if '"decisions"' in "".join(lines[:20])[:_HEAD]:
        try:
            yield from _PAGE.decode("\n".join(lines)).decisions
        except msgspec.ValidationError as error:
            message, _, place = str(error).partition(" - at ")
            raise InvalidTrace(path, message, field=place.strip("`").removeprefix("$.")) from None
        except msgspec.DecodeError as error:
            raise InvalidTrace(path, f"is no JSON: {error}") from None
        return
    for number, text in enumerate(lines, 1):
        if text.strip():
            yield _decoded(path, number, text)


def _decoded(path: Path, number: int, text: str) -> _Decision:
    try:
        return _DECODER.decode(text)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at ")
        raise InvalidTrace(path, message, line=number, field=place.strip("`").removeprefix("$.")) from None
    except msgspec.DecodeError as error:
        raise InvalidTrace(path, f"is no JSON: {error}", line=number) from None
