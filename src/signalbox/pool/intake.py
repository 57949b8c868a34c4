"""From one scrape to the columns."""

from __future__ import annotations

from signalbox.pool.columns import Columns
from signalbox.pool.readings import Readings
from signalbox.pool.residency import Residency


def take_in(readings: Readings, row: int, now: float, columns: Columns, residency: Residency) -> None:
    """Write what a scrape of ``row`` reported; what it did not report stays as it was."""
    if readings.waiting is not None:
        columns.waiting[row] = readings.waiting
    if readings.running is not None:
        columns.running[row] = readings.running
    if readings.kv_usage is not None:
        columns.kv_usage[row] = readings.kv_usage
    if readings.block_size is not None or readings.kv_blocks is not None:
        columns.set_capacity(row, readings.block_size, readings.kv_blocks)
    if readings.offload_tokens is not None:
        columns.set_offload(row, readings.offload_tokens)
    if readings.lora_max is not None:
        columns.lora_max[row] = readings.lora_max
    if readings.lora_resident is None:
        residency.gauge_gone(row)
    if readings.lora_active is not None:
        columns.set_adapters(row, readings.lora_active)
        residency.reported(row, readings.lora_active, readings.lora_resident, now)
    elif readings.lora_resident is not None:
        residency.reported(row, frozenset(), readings.lora_resident, now)
