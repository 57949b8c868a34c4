"""The approximate prefix cache: which endpoint is believed to hold the beginning of a prompt.

A prompt is cut into blocks, each named by a chained hash; an index remembers, for each block, the endpoints it was
routed to. It knows what was sent where, not what the servers did with it.
"""

from signalbox.scheduling.prefix.cutting import Cutter
from signalbox.scheduling.prefix.hashing import DEFAULT_BLOCK_SIZE, MAX_TOKENS, Chain, PromptBlocks, hash_prompt
from signalbox.scheduling.prefix.index import (
    DEFAULT_CAPACITY,
    MAX_BLOCKS,
    Insertion,
    PrefixIndex,
    block_size_for,
    engine_capacity,
)
from signalbox.scheduling.prefix.match import PrefixMatch

__all__ = [
    "DEFAULT_BLOCK_SIZE",
    "DEFAULT_CAPACITY",
    "MAX_BLOCKS",
    "MAX_TOKENS",
    "Chain",
    "Cutter",
    "Insertion",
    "PrefixIndex",
    "PrefixMatch",
    "PromptBlocks",
    "block_size_for",
    "engine_capacity",
    "hash_prompt",
]
