"""The picker's decision log: one JSON object a line, or a page of them as ``/debug/decisions`` shows it.

What a prompt was is not in it, only how long it was and how much of it the server had cached. So a replay of it tells
what becomes of load, not of prefix caches; the notes say so, and what else the log leaves open. Followed, the log holds
a line of a request's decision and another of its end; the later one counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from signalbox.lab.traces.bounds import bounded
from signalbox.lab.traces.problem import InvalidTrace
from signalbox.lab.workload import TraceRequest


class _End(msgspec.Struct):
    outcome: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Decision(msgspec.Struct):
    time: datetime
    outcome: str
    request_id: str = ""
    model: str = ""
    target: str = ""
    priority: int | None = None
    stream: bool | None = None
    prompt_tokens: int | None = None
    """The picker's estimate."""
    end: _End | None = None


class _Page(msgspec.Struct):
    decisions: list[_Decision]
    sample: float = 1.0
    passed_over: int = 0


class _Placed(NamedTuple):
    decision: _Decision
    line: int
    place: str
    """Before the names of its fields."""


_DECODER = msgspec.json.Decoder(_Decision)
_PAGE = msgspec.json.Decoder(_Page)
_HEAD = 1000  # characters within which a page says what it holds


def read_decisions(path: Path, lines: Sequence[str]) -> tuple[list[TraceRequest], tuple[str, ...]]:
    """Read all lines. Raises `InvalidTrace` for the first that makes no sense."""
    placed, notes = _decisions(path, lines)
    latest: dict[object, _Placed] = {}
    for number, one in enumerate(placed):
        named = one.decision.request_id
        latest[(named, one.decision.time) if named else number] = one
    requests = []
    refused = unended = cancelled = 0
    for one in latest.values():
        decision, end = one.decision, one.decision.end
        if decision.outcome == "refused":
            refused += 1
            continue
        told = end is not None and end.prompt_tokens is not None
        prompt = end.prompt_tokens if end is not None and told else decision.prompt_tokens
        if end is None or not end.completion_tokens or not prompt:
            unended += 1
            continue
        cancelled += end.outcome in ("cancelled", "evicted")
        request = TraceRequest(
            at=decision.time.timestamp(),
            prompt_tokens=prompt,
            output_tokens=end.completion_tokens,
            model=decision.target or decision.model,
            priority=decision.priority or 0,
            stream=decision.stream is not False,
        )
        prefix = "end." if told else ""
        problem = partial(_problem, path, one)
        output = "end.completion_tokens"
        requests.append(bounded(request, problem, at="time", prompt=f"{prefix}prompt_tokens", output=output))
    notes = ["the log does not say which prompts share a beginning: none do", *notes]
    if len({request.model for request in requests}) > 1:
        notes.append("the log does not say which models are LoRA adapters: all are replayed as base models")
    if cancelled:
        notes.append(f"{cancelled} requests were cancelled: their answers are taken to be as long as they had become")
    if refused:
        notes.append(f"{refused} refused requests are left out: nobody knows how long their answers would have been")
    if unended:
        notes.append(f"{unended} requests without a count of output tokens are left out")
    return requests, tuple(notes)


def _problem(path: Path, one: _Placed, field: str, message: str) -> InvalidTrace:
    return InvalidTrace(path, message, line=one.line, field=one.place + field)


def _decisions(path: Path, lines: Sequence[str]) -> tuple[Iterator[_Placed], list[str]]:
    """What is in the file, and what it says of itself."""
    if '"decisions"' not in "".join(lines[:20])[:_HEAD]:
        return _lines(path, lines), []
    try:
        page = _PAGE.decode("\n".join(lines))
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at ")
        raise InvalidTrace(path, message, field=place.strip("`").removeprefix("$.")) from None
    except msgspec.DecodeError as error:
        raise InvalidTrace(path, f"is no JSON: {error}") from None
    notes = []
    if page.sample < 1:
        notes.append(f"the picker kept {page.sample:.3g} of its decisions (--explain-sample): true load was higher")
    if page.passed_over:
        notes.append(f"the picker passed over {page.passed_over} decisions (--explain-rate): true load was higher")
    return (_Placed(one, 0, f"decisions[{number}].") for number, one in enumerate(page.decisions)), notes


def _lines(path: Path, lines: Sequence[str]) -> Iterator[_Placed]:
    for number, text in enumerate(lines, 1):
        if text.strip():
            yield _Placed(_decoded(path, number, text), number, "")


def _decoded(path: Path, number: int, text: str) -> _Decision:
    try:
        return _DECODER.decode(text)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at ")
        raise InvalidTrace(path, message, line=number, field=place.strip("`").removeprefix("$.")) from None
    except msgspec.DecodeError as error:
        raise InvalidTrace(path, f"is no JSON: {error}", line=number) from None
