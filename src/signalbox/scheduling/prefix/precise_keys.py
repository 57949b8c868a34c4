"""How the precise index names blocks: by a chained hash of token ids, the same for what a request asks and for what an
engine reports, whatever hash the engine itself uses.

The name of a block is the xxh64 of its token ids (little-endian, 32 bits) seeded with the name of the block before it,
the first with a hash of the adapter. What else belongs to a block (`extras`) is hashed on top. Only full blocks have
names: engines cache no others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import xxhash

from signalbox.payloads.prompts import BYTES_PER_TOKEN
from signalbox.scheduling.prefix.hashing import Chain, extended, root_of
from signalbox.scheduling.prefix.recent import Recent


def root_key(adapter: str) -> int:
    """Return the key before a prompt's first block; ``adapter`` is empty for the base model."""
    return root_of(adapter, b"")


def joined(extras: Iterable[str]) -> bytes:
    """Return a block's extras as they are hashed: each once, in an order of their own."""
    return "\0".join(sorted(set(extras))).encode("utf-8", "surrogatepass")


def block_key(tokens: bytes | memoryview, parent: int, extras: bytes = b"") -> int:
    """Return the key of the block that holds ``tokens`` and follows ``parent``."""
    key = xxhash.xxh64_intdigest(tokens, parent)
    return xxhash.xxh64_intdigest(extras, key) if extras else key


def prompt_keys(
    tokens: bytes,
    adapter: str,
    block_size: int,
    most: int,
    extras: Mapping[int, Sequence[str]] | None = None,
    known: Recent[Chain] | None = None,
) -> Chain:
    """Return the keys of the full blocks of ``block_size`` tokens in a prompt, ``most`` of them at most.

    ``extras`` are those of each block that has any, by its number. What ``known`` remembers is not hashed again.
    """
    step = block_size * BYTES_PER_TOKEN
    end = min(len(tokens) // step, most) * step
    parent = root_key(adapter)
    if not extras:
        return extended(tokens[:end], parent, step, known)
    chain: Chain = []
    for number, start in enumerate(range(0, end, step)):
        parent = block_key(tokens[start : start + step], parent, joined(extras.get(number, ())))
        chain.append(parent)
    return chain
