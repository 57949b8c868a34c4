"""What becomes of an engine's prefix cache, for whoever listens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cached:
    """Blocks that are cached from now on, each the continuation of the one before it."""

    hashes: Sequence[int]
    parent: int | None
    """The block before the first; ``None`` where a prompt begins."""
    tokens: Sequence[int]
    """Token ids of all of them; empty where the request told none."""
    adapter: str | None


@dataclass(frozen=True, slots=True)
class Evicted:
    """Blocks that are cached no more, in the order in which they went."""

    hashes: Sequence[int]


CacheChange = Cached | Evicted
