"""The Azure LLM inference traces of 2023: times and lengths, nothing about prompts.

https://github.com/Azure/AzurePublicDataset. Since nothing says which prompts share what, none do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from signalbox.lab.traces.bounds import bounded
from signalbox.lab.traces.table import rows
from signalbox.lab.workload import TraceRequest

AZURE_HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"


def read_azure(path: Path, lines: Sequence[str]) -> tuple[list[TraceRequest], tuple[str, ...]]:
    """Read all lines. Raises `InvalidTrace` for the first that makes no sense."""
    requests = []
    empty = 0
    for row in rows(path, lines):
        prompt, output = row.count("ContextTokens"), row.count("GeneratedTokens")
        if not prompt or not output:
            empty += 1
            continue
        request = TraceRequest(row.seconds("TIMESTAMP"), prompt, output)
        requests.append(bounded(request, row.problem, at="TIMESTAMP", prompt="ContextTokens", output="GeneratedTokens"))
    notes = ["the trace does not say which prompts share a beginning: none do"]
    if empty:
        notes.append(f"{empty} requests without prompt or answer are left out")
    return requests, tuple(notes)
