"""Text to token ids and back, without a model: a regular expression and stable hashes, about 4 characters a token."""

import asyncio
import re
from collections.abc import Sequence
from itertools import islice
from operator import itemgetter
from zlib import crc32

BEGIN_OF_TEXT = 128000
END_OF_TURN = 128009
_SPECIAL = {"<|begin_of_text|>": BEGIN_OF_TEXT, "<|eot_id|>": END_OF_TURN}
_VOCABULARY = 128000
LONG_TEXT = 1 << 18
"""Characters up to which a text is encoded in one go, in 10 ms or so."""
_STRETCH = 8192  # pieces of a longer text between two turns of the event loop
_REMEMBERED = 200_000  # pieces; bounds memory against a stream of random words
# Special tokens, word pieces with their leading blank, runs of blanks, and every other character on its own.
_PIECES = re.compile(r"<\|\w+\|>| ?[A-Za-z0-9\u00c0-\u052f]{1,6}|\s+|.", re.DOTALL)


class _Ids(dict[str, int]):
    """Piece to id, computed at first sight."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: dict[int, str] = {}
        self._reset()

    def _reset(self) -> None:
        self.clear()
        self.update(_SPECIAL)
        self.pieces = {token: piece for piece, token in _SPECIAL.items()}

    def __missing__(self, piece: str) -> int:
        if len(self) >= _REMEMBERED:
            self._reset()
        token = crc32(piece.encode("utf-8", "surrogatepass")) % _VOCABULARY
        self[piece] = token
        self.pieces[token] = piece
        return token


class Tokenizer:
    """Splits text into pieces; the id of a piece is the same in every process."""

    def __init__(self) -> None:
        self._ids = _Ids()

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Token ids of a text, with the begin-of-text token in front unless told otherwise."""
        ids = [BEGIN_OF_TEXT] if add_special_tokens else []
        ids.extend(map(self._ids.__getitem__, _PIECES.findall(text)))
        return ids

    async def encode_in_turns(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """The same as ``encode``; a long text lets the event loop turn between stretches of it.

        A thread would not do: the regular expression keeps the interpreter's lock from its first piece to its last.
        """
        if len(text) <= LONG_TEXT:
            return self.encode(text, add_special_tokens=add_special_tokens)
        ids = [BEGIN_OF_TEXT] if add_special_tokens else []
        found = map(itemgetter(0), _PIECES.finditer(text))
        while stretch := list(islice(found, _STRETCH)):
            ids.extend(map(self._ids.__getitem__, stretch))
            await asyncio.sleep(0)
        return ids

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """The text of each token; U+FFFD for an id this process has not seen."""
        known = self._ids.pieces
        return [known.get(token, "\ufffd") for token in tokens]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, special ones left out."""
        return "".join(self.pieces([token for token in tokens if token < _VOCABULARY]))
