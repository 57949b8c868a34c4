"""What an engine tells about its KV cache, as the precise index takes it.

Hashes are the engine's own, 64 bits, and mean nothing but "the same block as before"."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Stored(msgspec.Struct, frozen=True):
    """Blocks that are cached from now on, each the continuation of the one before it."""

    hashes: Sequence[int]
    parent: int | None = None
    """The block before the first; ``None`` where a prompt begins."""
    tokens: bytes = b""
    """Token ids of all blocks as little-endian 32-bit numbers; empty where the engine only names blocks it has told
    before, such as copies in another memory."""
    block_size: int = 16
    """Tokens to a block of the engine's."""
    medium: str = "gpu"
    adapter: str = ""
    """The LoRA adapter they belong to; empty for the base model."""
    extras: Sequence[Sequence[str]] = ()
    """For each block what else tells it from others: hashes of media in it, the cache salt in the first one. Empty
    where no block has any."""


class Removed(msgspec.Struct, frozen=True):
    """Blocks that are cached no more."""

    hashes: Sequence[int]
    medium: str = "gpu"


class Cleared(msgspec.Struct, frozen=True):
    """Nothing is cached any more."""


Event = Stored | Removed | Cleared
