"""Reads a trace of any format; its first line tells which."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from signalbox.lab.traces.azure import AZURE_HEADER, read_azure
from signalbox.lab.traces.decisions import read_decisions
from signalbox.lab.traces.mooncake import read_mooncake
from signalbox.lab.traces.problem import InvalidTrace
from signalbox.lab.traces.table import read_table
from signalbox.lab.workload import TraceRequest, Workload, in_order

Lines = Sequence[str]
Reader = Callable[[Path, Lines], tuple[list[TraceRequest], tuple[str, ...]]]
"""Returns the requests and what a reader of the results should know about them."""

FORMATS = {
    "mooncake": "JSON lines with timestamp (ms), input_length, output_length, hash_ids",
    "decisions": "JSON lines of the picker's decision log",
    "azure": f"CSV with the header {AZURE_HEADER}",
    "table": "CSV with a header: timestamp, input_length, output_length and, if known, model, adapter, priority,"
    " session, tenant, max_tokens, stream, usage, hash_ids",
}

_TELLING = ("input_length", "output_length", "hash_ids")
"""Any of them tells a trace, so that of a line without the others these are named."""

_BLOCK_TOKENS = 512
_MOST_BYTES = 2 << 30


def read_trace(path: Path, block_tokens: int = _BLOCK_TOKENS) -> Workload:
    """Read a trace, packed with gzip or not. ``block_tokens`` is the length of the blocks that its ``hash_ids`` name.

    Raises:
        InvalidTrace: the file cannot be read, is in none of `FORMATS`, holds no request, or a field makes no sense.
    """
    lines = _lines(path)
    start = next((line for line in lines if line.strip()), None)
    if start is None:
        raise InvalidTrace(path, "is empty: there is no request to replay")
    requests, notes = _reader(path, start)(path, lines)
    if not requests:
        raise InvalidTrace(path, "holds no request that can be replayed" + "".join(f"; {note}" for note in notes))
    return Workload(_name(path), in_order(requests), block_tokens, (*notes, *_oddities(requests, block_tokens)))


def _oddities(requests: Sequence[TraceRequest], block_tokens: int) -> list[str]:
    """What is inconsistent and yet can be replayed."""
    notes = []
    back = sum(later.at < earlier.at for earlier, later in pairwise(requests))
    if back:
        notes.append(f"{back} requests stand after later ones: they are sorted by time")
    long = sum(len(request.blocks) > -(-request.prompt_tokens // block_tokens) for request in requests)
    if long:
        notes.append(
            f"{long} requests name more blocks of {block_tokens} tokens than their prompts hold; the rest of them"
            " is not looked at; --block-tokens says how long a block is"
        )
    return notes


def _reader(path: Path, start: str) -> Reader:
    head = start.strip().lower()
    if head.startswith(("{", "[")):
        return read_mooncake if any(f'"{field}"' in head for field in _TELLING) else read_decisions
    if head == AZURE_HEADER.lower():
        return read_azure
    if "," in head and any(field in head for field in _TELLING):
        return read_table
    known = "; ".join(f"{name}: {text}" for name, text in FORMATS.items())
    raise InvalidTrace(path, f"is no trace: its first line is {start.strip()[:60]!r}. Known formats: {known}", line=1)


def _lines(path: Path) -> Lines:
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
                content = packed.read(_MOST_BYTES + 1)
            if len(content) > _MOST_BYTES:
                raise InvalidTrace(path, f"unpacks to more than {_MOST_BYTES >> 30} GiB; split it")
        return content.decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except OSError as error:
        raise InvalidTrace(path, error.strerror or str(error)) from None
    except (EOFError, zlib.error):
        raise InvalidTrace(path, "is not a whole gzip file") from None
    except UnicodeDecodeError as error:
        raise InvalidTrace(path, f"is no text in UTF-8 (byte {error.start})") from None


def _name(path: Path) -> str:
    return path.name.removesuffix(".gz").rpartition(".")[0] or path.name
