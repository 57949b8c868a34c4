"""How much of one prompt each endpoint is believed to hold."""

from __future__ import annotations

import msgspec
import numpy as np

from signalbox.pool import Floats, Rows


class PrefixMatch(msgspec.Struct):
    """The leading blocks of a prompt that each endpoint is believed to have computed already."""

    blocks: Floats
    """Shape ``(columns.size,)``: how many blocks from the start of the prompt, without a gap."""
    total: int
    """Blocks of this prompt that were looked up, the last and perhaps shorter one included."""
    block_size: int
    """Tokens to a block."""
    tokens: int
    """Estimated length of the prompt in tokens."""

    def ratio(self, rows: Rows) -> Floats:
        """Return the matched part of the prompt in blocks, 0 to 1, for each of ``rows``; 0 for an empty prompt."""
        if self.total == 0:
            return np.zeros(len(rows))
        found: Floats = self.blocks[rows]
        return found / self.total

    def uncached_tokens(self, rows: Rows) -> Floats:
        """Return how many tokens of the prompt each of ``rows`` would have to compute; never negative."""
        missing: Floats = self.tokens - self.blocks[rows] * self.block_size
        return np.maximum(missing, 0.0, out=missing)

    def uncached_tokens_few(self, rows: list[int]) -> list[float]:
        """Return `uncached_tokens`, in a small pool."""
        held, size, tokens = self.blocks.tolist(), self.block_size, self.tokens
        missing = [tokens - held[row] * size for row in rows]
        return [tokens_left if tokens_left > 0.0 else 0.0 for tokens_left in missing]
