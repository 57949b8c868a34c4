"""A prompt cut into blocks, each named by a hash of everything up to its end."""

from __future__ import annotations

import msgspec
import xxhash

from signalbox.payloads.prompts import BYTES_PER_TOKEN
from signalbox.payloads.tokens import Prompt

DEFAULT_BLOCK_SIZE = 64
"""Tokens. Engines use 16; four of theirs to one of ours costs a quarter and misses 63 tokens of a prefix at most."""

MAX_TOKENS = 131_072
"""How much of a prompt is hashed, in tokens. What lies behind counts as not cached."""

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
        return sum([len(chain) for chain in self.chains])


def hash_prompt(
    prompt: Prompt, model: str, block_size: int = DEFAULT_BLOCK_SIZE, max_tokens: int = MAX_TOKENS
) -> PromptBlocks:
    """Hash a prompt that a server will see under the name ``model`` (the adapter's name for a request to an adapter).

    Each block's xxh64 is seeded with the hash before it, the first with a hash of the model and the prompt's salt. A
    last block of fewer than ``block_size`` tokens counts too: otherwise two equal prompts would not match in full.
    Of several sequences the first ones are hashed, up to ``max_tokens`` together.

    Raises ``ValueError`` when ``block_size`` is not positive.
    """
    if block_size < 1:
        raise ValueError(f"block_size: {block_size} tokens; a block needs at least 1")
    step = block_size * BYTES_PER_TOKEN
    left = max_tokens // block_size
    root = xxhash.xxh64_intdigest(b"\0".join((model.encode("utf-8", "surrogatepass"), prompt.salt)))
    chains = []
    for sequence in prompt.sequences:
        chain = _chain(sequence, root, step, left)
        chains.append(chain)
        left -= len(chain)
    return PromptBlocks(tuple(chains), prompt.tokens, block_size)


def _chain(sequence: bytes, root: int, step: int, limit: int) -> Chain:
    digest = xxhash.xxh64_intdigest
    chain: Chain = []
    append = chain.append
    previous = root
    for start in range(0, min(len(sequence), limit * step), step):
        previous = digest(sequence[start : start + step], previous)
        append(previous)
    return chain
