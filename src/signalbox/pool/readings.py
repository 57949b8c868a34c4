"""What one scrape of a model server says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Readings:
    """One scrape, in the field's units. ``None`` means the server did not report it: the last known value stays.

    ``waiting`` and ``running`` count requests, summed over the server's engines; ``kv_usage`` is a fraction of
    the KV blocks, 0 to 1; ``block_size`` is tokens a block, ``kv_blocks`` how many blocks the device holds;
    ``offload_tokens`` is how many tokens a tier beside the device holds, such as host memory;
    ``lora_active`` names the adapters with a request in flight, ``lora_max`` how many one batch may hold and
    ``lora_resident`` the adapters a server reports as loaded (newer servers only).
    """

    waiting: float | None = None
    running: float | None = None
    kv_usage: float | None = None
    block_size: int | None = None
    kv_blocks: int | None = None
    lora_active: frozenset[str] | None = None
    lora_max: int | None = None
    lora_resident: frozenset[str] | None = None
    offload_tokens: int | None = None
