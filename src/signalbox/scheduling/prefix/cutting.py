"""Prompts cut into blocks without going again through beginnings that were gone through before.

Long prompts are long because they are repeated: a system prompt, a document, a conversation with one more turn. To take
apart and to hash 100 KB takes eight times as long as to see that they are the same bytes as last time. So the raw list
of messages is digested `STRIDE` bytes at a time, each digest seeded with the one before, and for each of these
beginnings a *mark* remembers up to where whole messages lie in it and what the blocks up to there are called. A prompt
then goes on behind the last mark it has in common with an earlier one.

The result is what `hash_prompt` says of `read_prompt`, bit for bit, whoever asked for what before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import xxhash

from signalbox.payloads import Request, read_prompt
from signalbox.payloads.conversation import Item, Pieces, lay_out_messages, read_items, read_items_and_ends
from signalbox.payloads.prompts import BYTES_PER_TOKEN
from signalbox.payloads.tokens import Conversation, read_conversation
from signalbox.scheduling.prefix.hashing import (
    DEFAULT_BLOCK_SIZE,
    MAX_TOKENS,
    Chain,
    PromptBlocks,
    extended,
    hash_prompt,
    root_of,
)
from signalbox.scheduling.prefix.recent import Recent

STRIDE = 8192
"""Bytes of a list of messages from mark to mark."""

REMEMBERED = 8192
"""Marks, and runs of hashes as well: those of the last 32 to 64 MB of prompts, in about 17 MB."""

_LARGEST = 1024 * 1024  # bytes of a list of messages; a longer one is gone through as a whole
_WHITESPACE = b" \t\n\r"
_COMMA = ord(",")


class Mark(msgspec.Struct, frozen=True):
    """What a list of messages that begins in a certain way begins with."""

    taken: int
    """Bytes of the list up to the end of its last whole message; 0 where there is none."""
    chain: Chain
    """Hashes of the whole blocks up to there, behind those of the mark before and as far as any are wanted."""
    blocks: int
    """How many whole blocks there are up to there."""
    rest: bytes
    """The text behind these blocks."""


_ONCE = Mark(0, [], 0, b"")
"""A beginning that was seen once. Only at the second time is a mark made, which takes longer than going on."""


class Cutter:
    """Cuts prompts, and remembers beginnings. For one thread."""

    def __init__(self, remembered: int = REMEMBERED, stride: int = STRIDE) -> None:
        """Remember this many beginnings of each kind; look for one every ``stride`` bytes."""
        self._stride = stride
        self._marks: Recent[Mark] = Recent(remembered)
        self._known: Recent[Chain] = Recent(remembered)
        self._step = self._most = 0

    def cut(
        self,
        request: Request,
        model: str,
        block_size: int = DEFAULT_BLOCK_SIZE,
        max_tokens: int = MAX_TOKENS,
    ) -> PromptBlocks:
        """Return what `hash_prompt` does of the prompt of ``request``. Raises ``ValueError`` as it does."""
        step, most = block_size * BYTES_PER_TOKEN, max_tokens // max(block_size, 1)
        if (step, most) != (self._step, self._most):
            self._step, self._most = step, most
            self._marks.clear()
            self._known.clear()
        conversation = read_conversation(request) if step > 0 else None
        found = None
        if conversation is not None:
            short = not self._stride <= len(conversation.messages) <= _LARGEST
            found = (self._whole if short else self._remembered)(conversation, root_of(model, conversation.salt))
        if found is None:
            return hash_prompt(read_prompt(request), model, block_size, max_tokens, self._known)
        chain, size = found
        return PromptBlocks((chain,), -(-size // BYTES_PER_TOKEN), block_size)

    def _whole(self, conversation: Conversation, root: int) -> tuple[Chain, int] | None:
        """Return the hashes of a conversation, as many as are wanted, and the length of its text in bytes; ``None``
        where it cannot be read."""
        items = read_items(conversation.messages)
        if items is None:
            return None
        pieces: Pieces = [conversation.head]
        lay_out_messages(items, pieces)
        text = b"".join(pieces)
        return extended(text[: self._most * self._step], root, self._step, self._known), len(text)

    def _remembered(self, conversation: Conversation, root: int) -> tuple[Chain, int] | None:
        """Return the same, and go only through what lies behind the last mark."""
        messages, head = memoryview(conversation.messages), conversation.head
        chain: Chain = []
        mark, wanted = self._recall(messages, xxhash.xxh3_64_intdigest(head, root), Mark(0, [], 0, head), chain)
        value, shift = _behind(messages, mark.taken)
        pieces: Pieces = [mark.rest]
        reached: list[tuple[int, int, int]] = []
        if wanted:
            ending = read_items_and_ends(value)
            if ending is None:
                return None
            reached = _lay_out_by_place([(item, end + shift) for item, end in ending], wanted, mark.taken, pieces)
        else:
            items = read_items(value)
            if items is None:
                return None
            lay_out_messages(items, pieces)
        text, before = b"".join(pieces), mark.blocks
        left = text[: max(self._most - before, 0) * self._step]
        chain += extended(left, chain[-1] if chain else root, self._step, self._known)
        done = before
        for key, taken, size in reached:
            blocks = before + size // self._step
            rest = text[(blocks - before) * self._step : size]
            self._marks.put(key, Mark(taken, chain[done:blocks], blocks, rest))
            done = blocks
        return chain, before * self._step + len(text)

    def _recall(self, messages: memoryview, key: int, mark: Mark, chain: Chain) -> tuple[Mark, dict[int, int]]:
        """Extend ``chain`` up to the last mark that ``messages`` reach; return that mark, ``mark`` where they reach
        none, and where marks are to be made behind it: their digests by their place in ``messages``."""
        wanted: dict[int, int] = {}
        stride = self._stride
        for end in range(stride, len(messages) + 1, stride):
            key = xxhash.xxh3_64_intdigest(messages[end - stride : end], key)
            known = None if wanted else self._marks.get(key)
            if known is None and not wanted:
                self._marks.put(key, _ONCE)
                break
            if known is None or known is _ONCE:
                wanted[end] = key
                continue
            chain += known.chain
            mark = known
        return mark, wanted


def _lay_out_by_place(
    items: Sequence[tuple[Item, int]], wanted: Mapping[int, int], taken: int, pieces: Pieces
) -> list[tuple[int, int, int]]:
    """Lay out ``items``, which come with the places where they end, behind ``pieces``. Return for each place ``wanted``
    its digest, where the last item before it ends (``taken`` where there is none), and the size of the text up to
    that."""
    reached = []
    size, done = sum([len(piece) for piece in pieces]), 0
    for place, key in wanted.items():
        while done < len(items) and items[done][1] <= place:
            item, taken = items[done]
            done += 1
            before = len(pieces)
            lay_out_messages((item,), pieces)
            size += sum([len(piece) for piece in pieces[before:]])
        reached.append((key, taken, size))
    lay_out_messages([item for item, _ in items[done:]], pieces)
    return reached


def _behind(messages: memoryview, taken: int) -> tuple[bytes | memoryview, int]:
    """Return the list of the messages behind the first ``taken`` bytes, and how far its places are behind those in
    ``messages``."""
    if not taken:
        return messages, 0
    left = bytes(messages[taken:])
    text = left.lstrip(_WHITESPACE)
    if text[0] == _COMMA:
        return b"[" + text[1:], taken + len(left) - len(text)
    return b"[]", taken
