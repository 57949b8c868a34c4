"""A prompt cut into blocks, each named by a hash of everything up to its end."""

from __future__ import annotations

import msgspec
import xxhash

from signalbox.payloads.prompts import BYTES_PER_TOKEN
from signalbox.payloads.tokens import Prompt
from signalbox.scheduling.prefix.recent import Recent

DEFAULT_BLOCK_SIZE = 64
"""Tokens. Engines use 16; four of theirs to one of ours costs a quarter and misses 63 tokens of a prefix at most."""

MAX_TOKENS = 131_072
"""How much of a prompt is hashed, in tokens. What lies behind counts as not cached."""

STRIDE = 32
"""Blocks whose hashes are remembered together: 8 KB of text in blocks of 64 tokens."""

Chain = list[int]
"""The hashes of one sequence, first block first. Each covers its block and all blocks before it, so equal hashes mean
equal beginnings."""


class PromptBlocks(msgspec.Struct, frozen=True):
    """A prompt as `PrefixIndex` reads it."""

    chains: tuple[Chain, ...]
    """One for each sequence of the prompt."""
    tokens: int
    """Length of the whole prompt in tokens."""
    block_size: int
    """Tokens to a block."""

    @property
    def total(self) -> int:
        """Blocks in all chains."""
        chains = self.chains
        return len(chains[0]) if len(chains) == 1 else sum([len(chain) for chain in chains])


def hash_prompt(
    prompt: Prompt,
    model: str,
    block_size: int = DEFAULT_BLOCK_SIZE,
    max_tokens: int = MAX_TOKENS,
    known: Recent[Chain] | None = None,
) -> PromptBlocks:
    """Hash a prompt that a server will see under the name ``model`` (the adapter's name for a request to an adapter).

    Each block's xxh64 is seeded with the hash before it, the first with a hash of the model and the prompt's salt. A
    last block of fewer than ``block_size`` tokens counts too: otherwise two equal prompts would not match in full.
    Of several sequences the first ones are hashed, up to ``max_tokens`` together. What ``known`` remembers of the same
    ``block_size`` is not hashed again.

    Raises ``ValueError`` when ``block_size`` is not positive.
    """
    if block_size < 1:
        raise ValueError(f"block_size: {block_size} tokens; a block needs at least 1")
    step = block_size * BYTES_PER_TOKEN
    left = max_tokens // block_size
    root = root_of(model, prompt.salt)
    chains = []
    for sequence in prompt.sequences:
        chain = extended(sequence[: left * step], root, step, known)
        chains.append(chain)
        left -= len(chain)
    return PromptBlocks(tuple(chains), prompt.tokens, block_size)


def root_of(model: str, salt: bytes) -> int:
    """Return the seed of the first block's hash."""
    return xxhash.xxh64_intdigest(b"\0".join((model.encode("utf-8", "surrogatepass"), salt)))


def extended(text: bytes, previous: int, step: int, known: Recent[Chain] | None = None) -> Chain:
    """Return the hashes of the blocks of ``step`` bytes in ``text``, which follow the one whose hash is ``previous``.

    With ``known``, `STRIDE` blocks at a time are looked up before they are hashed.
    """
    digest = xxhash.xxh64_intdigest
    chain: Chain = []
    append = chain.append
    start, end = 0, len(text)
    whole = STRIDE * step
    if known is not None and end >= whole:
        while end - start >= whole:
            stride = text[start : start + whole]
            key = xxhash.xxh3_64_intdigest(stride, previous)
            hashes = known.get(key)
            if hashes is None:
                hashes = extended(stride, previous, step)
                known.put(key, hashes)
            chain += hashes
            previous = hashes[-1]
            start += whole
    for begin in range(start, end, step):
        previous = digest(text[begin : begin + step], previous)
        append(previous)
    return chain
