"""The word a writer probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known word most like ``word``, letter case aside; ``None`` where none is alike.

    ``cutoff`` is the least similarity accepted, from 0 (nothing in common) to 1 (equal), as difflib measures it.
    """
    folded = {candidate.lower(): candidate for candidate in known}
    found = get_close_matches(word.lower(), folded, n=1, cutoff=cutoff)
    return folded[found[0]] if found else None


def choose(word: str, known: Iterable[str], otherwise: str) -> str:
    """Return the fix for a word that should have been one of ``known``: the nearest one, or else ``otherwise``."""
    guess = nearest(word, known)
    return f"did you mean '{guess}'?" if guess else otherwise
