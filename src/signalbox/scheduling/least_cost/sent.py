"""Prompt tokens that each endpoint was given to compute lately: what was given ``t`` seconds ago counts
``exp(-t / window)``.

Known at once and without noise, where the pace of answers is known when they end and is what it is by chance. Prompts
that are in a queue, being computed or just computed are all the same here: they take the server's steps from
the answers that are in progress within the window.
"""

from __future__ import annotations

import math

import numpy as np

from signalbox.pool import Floats


class Sent:
    """One number for each row, all of one moment."""

    def __init__(self) -> None:
        self._tokens: Floats = np.zeros(8)
        self._at = -math.inf

    def column(self, size: int, now: float, window: float) -> Floats:
        """Return the tokens of all rows up to ``size``, as of ``now``; ``window`` is in seconds."""
        added = size - len(self._tokens)
        if added > 0:
            self._tokens = np.concatenate([self._tokens, np.zeros(added)])
        if now > self._at:
            self._tokens *= math.exp((self._at - now) / window)
            self._at = now
        return self._tokens

    def add(self, row: int, tokens: float) -> None:
        """``row`` is given this much, at the moment of the last `column`; less than 0 takes back."""
        if row < len(self._tokens):
            self._tokens[row] = max(float(self._tokens[row]) + tokens, 0.0)

    def forget(self, row: int) -> None:
        """The endpoint has left."""
        if row < len(self._tokens):
            self._tokens[row] = 0.0
