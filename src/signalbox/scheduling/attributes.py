"""The numbers of an endpoint that plugins can be told to read by name."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, WithJsonSchema

from signalbox.pool import NEVER, Columns, Floats, Mask, Rows
from signalbox.resources.strict import fault
from signalbox.resources.suggestions import choose

SCRAPED = ("waiting", "running", "kv_usage", "block_size", "kv_blocks", "lora_max", "lora_active")
OURS = ("inflight", "inflight_tokens")
COUNTED = (*OURS, "failed_scrapes")
ATTRIBUTES = SCRAPED + COUNTED


def _attribute(value: object) -> object:
    if value not in ATTRIBUTES:
        otherwise = f"use one of {', '.join(ATTRIBUTES)}"
        raise fault(f"{value!r} is not an attribute of an endpoint here", choose(str(value), ATTRIBUTES, otherwise))
    return value


Attribute = Annotated[str, BeforeValidator(_attribute), WithJsonSchema({"enum": list(ATTRIBUTES)})]
"""The name of a column of the pool."""

Metric = Literal["active-requests", "running-requests", "waiting-queue", "kv-cache-utilization"]
COLUMN_OF: dict[str, str] = {
    "active-requests": "inflight",
    "running-requests": "running",
    "waiting-queue": "waiting",
    "kv-cache-utilization": "kv_usage",
}
"""The columns behind llm-d's names of metrics."""


def read(columns: Columns, attribute: str, rows: Rows) -> tuple[Floats, Mask | None]:
    """Return the attribute of each row, and which rows have it: ``None`` where all have.

    A row that was never scraped has no scraped attribute.
    """
    column: Floats = getattr(columns, attribute)
    values = columns.believed(column, rows) if attribute in OURS else column[rows]
    if attribute in COUNTED:
        return values, None
    known: Mask = columns.scraped_at[rows] != NEVER
    return values, None if known.all() else known


def adaptive_range(values: Floats, known: Mask | None) -> tuple[float, float]:
    """Return the lowest and the highest of the known values; 0 and 0 where none is known."""
    present = values if known is None else values[known]
    return (float(np.min(present)), float(np.max(present))) if len(present) else (0.0, 0.0)
