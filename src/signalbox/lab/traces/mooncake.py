"""Mooncake's format: one JSON object a line.

``timestamp`` counts milliseconds (in the published traces in steps of three seconds), lengths are tokens, and
``hash_ids`` names the prompt's blocks of 512 tokens. A number stands for the same prompt up to the end of its block,
the last and shorter block included (https://github.com/kvcache-ai/Mooncake, traces).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from signalbox.lab.traces.bounds import bounded
from signalbox.lab.traces.problem import InvalidTrace
from signalbox.lab.workload import TraceRequest, mixed


class _Line(msgspec.Struct):
    timestamp: float
    input_length: int
    output_length: int
    hash_ids: list[int] = []
    model: str = ""
    adapter: str = ""
    priority: int = 0
    session: str = ""
    tenant: str = ""
    max_tokens: int | None = None
    stream: bool = True
    usage: bool = True


_DECODER = msgspec.json.Decoder(_Line)
_NAMES = msgspec.json.Decoder(dict[str, msgspec.Raw])
_KNOWN = frozenset(_Line.__struct_fields__)
_SHOWN = 8  # unknown fields that are named


def read_mooncake(path: Path, lines: Sequence[str]) -> tuple[list[TraceRequest], tuple[str, ...]]:
    """Read all lines. Raises `InvalidTrace` for the first that makes no sense. Traces of others say more about a
    request than is replayed, so a field nobody knows is noted, lest it be a known one misspelt."""
    requests = []
    unknown: dict[str, None] = {}
    names: dict[int, int] = {}
    before: dict[int, int | None] = {}
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        line = _decoded(path, number, text)
        unknown |= dict.fromkeys(name for name in _NAMES.decode(text) if name not in _KNOWN)
        previous: int | None = None
        for block in line.hash_ids:
            if block not in names:
                names[block], before[block] = mixed(block), previous
            elif before[block] != previous:
                message = (
                    f"{block} comes after {previous} here and after {before[block]} elsewhere; ids are for prompts"
                )
                raise InvalidTrace(path, message, line=number, field="hash_ids")
            previous = block
        request = TraceRequest(
            at=line.timestamp / 1000,
            prompt_tokens=line.input_length,
            output_tokens=line.output_length,
            blocks=tuple([names[block] for block in line.hash_ids]),
            model=line.model,
            adapter=line.adapter,
            priority=line.priority,
            session=line.session,
            tenant=line.tenant,
            max_tokens=line.max_tokens,
            stream=line.stream,
            usage=line.usage,
        )
        requests.append(bounded(request, partial(_problem, path, number), unit=1000))
    return requests, _notes(list(unknown))


def _notes(unknown: Sequence[str]) -> tuple[str, ...]:
    if not unknown:
        return ()
    shown = ", ".join(map(repr, unknown[:_SHOWN])) + (", ..." if len(unknown) > _SHOWN else "")
    return (
        f"fields that are not known here are not looked at: {shown}; known are {', '.join(_Line.__struct_fields__)}",
    )


def _problem(path: Path, number: int, field: str, message: str) -> InvalidTrace:
    return InvalidTrace(path, message, line=number, field=field)


def _decoded(path: Path, number: int, text: str) -> _Line:
    try:
        return _DECODER.decode(text)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at ")
        raise InvalidTrace(path, message, line=number, field=place.strip("`").removeprefix("$.")) from None
    except msgspec.DecodeError as error:
        raise InvalidTrace(path, f"is no JSON: {error}", line=number) from None
