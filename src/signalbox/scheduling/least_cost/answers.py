"""What answers are like: how long, how fast, and for how long a request holds its memory. Learned from their ends."""

from __future__ import annotations

import numpy as np

from signalbox.pool import Floats, Mask

PRIOR_TOKENS = 128.0
"""Length of an answer before any has ended."""

PRIOR_HOLD = 5.0
"""Seconds from choice to end before any has ended."""

POOL_GAIN = 0.02
GAIN = 0.1
"""How far an average moves towards one answer: of the pool, of one endpoint."""


class Answers:
    """Averages over answers that have ended, older ones forgotten. A row without any has the pool's."""

    def __init__(self) -> None:
        self.tokens = PRIOR_TOKENS
        """Expected length of an answer."""
        self.shortness = 1.0 / PRIOR_TOKENS
        """Mean of one over the length of an answer: what a second of delay adds to the seconds per token, averaged over
        answers. The more they differ, the more it exceeds one over `tokens`."""
        self.hold_seconds = PRIOR_HOLD
        """From the choice to the end, over the pool."""
        self.token_seconds = 0.0
        """Seconds per output token after the first, over the pool; 0 before any was seen."""
        self._hold = _Average(PRIOR_HOLD)
        self._pace = _Average(0.0)

    def hold(self, size: int) -> Floats:
        """Return for all rows up to ``size`` how long a request stays, in seconds."""
        return self._hold.column(size)

    def pace(self, size: int) -> Floats:
        """Return for all rows up to ``size`` the seconds per output token. Another array after each change."""
        return self._pace.column(size)

    def ended(self, row: int, tokens: float | None, first_token: float | None, seconds: float) -> None:
        """An answer of ``tokens`` ended ``seconds`` after its choice; ``None`` for what is not known.

        The time to its first token is not part of the pace. Where it is not known neither is the pace.
        """
        self.hold_seconds += POOL_GAIN * (seconds - self.hold_seconds)
        self._hold.take(row, seconds, self.hold_seconds)
        if tokens is None:
            return
        self.tokens += POOL_GAIN * (tokens - self.tokens)
        self.shortness += POOL_GAIN * (1.0 / max(tokens, 1.0) - self.shortness)
        if first_token is None or tokens < 2:
            return
        pace = max(seconds - first_token, 0.0) / (tokens - 1)
        gain = POOL_GAIN if self.token_seconds else 1.0
        self.token_seconds += gain * (pace - self.token_seconds)
        self._pace.take(row, pace, self.token_seconds)

    def forget(self, row: int) -> None:
        """The endpoint has left."""
        self._hold.forget(row, self.hold_seconds)
        self._pace.forget(row, self.token_seconds)


class _Average:
    """One number for each row, and which rows have one of their own."""

    def __init__(self, usual: float) -> None:
        self._usual = usual
        self._values: Floats = np.full(8, usual)
        self._seen: Mask = np.zeros(8, bool)

    def column(self, size: int) -> Floats:
        """Return all rows up to ``size``."""
        added = size - len(self._values)
        if added > 0:
            self._values = np.concatenate([self._values, np.full(added, self._usual)])
            self._seen = np.concatenate([self._seen, np.zeros(added, bool)])
        return self._values

    def take(self, row: int, value: float, usual: float) -> None:
        """Move a row's number; rows without one of their own become the pool's, ``usual``."""
        values = self.column(row + 1)
        self._usual = usual
        new = value if not self._seen[row] else float(values[row]) + GAIN * (value - float(values[row]))
        self._seen[row] = True
        self._values = np.where(self._seen, values, usual)
        self._values[row] = new

    def forget(self, row: int, usual: float) -> None:
        """The row's number becomes the pool's again."""
        if row < len(self._values):
            self._seen[row] = False
            self._values = self._values.copy()
            self._values[row] = usual
