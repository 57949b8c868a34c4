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
PACE_GAIN = 0.25
"""How far an average moves towards one answer: of the pool, of one endpoint, and of one endpoint's pace, which changes
sooner than how long its requests stay. An endpoint's begins at the pool's: were it the first answer's, one that came
fast by chance would draw every prompt until the next few have ended."""

WINDOW = 0.12
"""Of the time a request takes on average: how long a prompt counts as sent lately. Longer ones say less about what an
answer that begins now will meet."""

LEAST_WINDOW = 0.4
"""Seconds. Where answers are short, in less a server gets one prompt or none, which says nothing."""


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
        self._paced = 0  # answers whose pace is known
        self._hold = _Average(PRIOR_HOLD, GAIN)
        self._pace = _Average(0.0, PACE_GAIN)

    def hold(self, size: int) -> Floats:
        """Return for all rows up to ``size`` how long a request stays, in seconds."""
        return self._hold.column(size)

    def pace(self, size: int) -> Floats:
        """Return for all rows up to ``size`` the seconds per output token, 0 before any was seen. Another array after
        each change."""
        return self._pace.column(size)

    @property
    def paced(self) -> int:
        """Answers whose pace has been seen."""
        return self._paced

    def lasting(self) -> tuple[float, float]:
        """Return the same as `window` for prompts that were sent within the time that a request takes."""
        seconds = max(self.hold_seconds, LEAST_WINDOW)
        return seconds, 1.0 / max(self.tokens, 1.0)

    def window(self) -> tuple[float, float]:
        """Return the seconds for which a prompt counts as sent lately, and one over the tokens that an answer gets in
        them."""
        seconds = max(self.hold_seconds * WINDOW, LEAST_WINDOW)
        return seconds, max(self.hold_seconds, LEAST_WINDOW) / (seconds * max(self.tokens, 1.0))

    def ended(self, row: int, tokens: float | None, first_token: float | None, seconds: float) -> float | None:
        """An answer of ``tokens`` ended ``seconds`` after its choice; ``None`` for what is not known. Return its pace.

        The time to its first token is not part of the pace. Where it is not known neither is the pace.
        """
        self.hold_seconds += POOL_GAIN * (seconds - self.hold_seconds)
        self._hold.take(row, seconds, self.hold_seconds)
        if tokens is None:
            return None
        self.tokens += POOL_GAIN * (tokens - self.tokens)
        self.shortness += POOL_GAIN * (1.0 / max(tokens, 1.0) - self.shortness)
        pace = pace_of(tokens, first_token, seconds)
        if pace is None:
            return None
        self._paced += 1
        self.token_seconds += max(POOL_GAIN, 1.0 / self._paced) * (pace - self.token_seconds)
        self._pace.take(row, pace, self.token_seconds)
        return pace

    def forget(self, row: int) -> None:
        """The endpoint has left."""
        self._hold.forget(row, self.hold_seconds)
        self._pace.forget(row, self.token_seconds)


def pace_of(tokens: float | None, first_token: float | None, seconds: float) -> float | None:
    """Return the seconds per token of an answer that took ``seconds`` from its choice on, ``first_token`` of them until
    it began; ``None`` where that cannot be known."""
    if tokens is None or first_token is None or tokens < 2:
        return None
    return max(seconds - first_token, 0.0) / (tokens - 1)


class _Average:
    """One number for each row, and which rows have one of their own."""

    def __init__(self, usual: float, gain: float) -> None:
        self._usual = usual
        self._gain = gain
        self._own: Floats = np.full(8, usual)
        self._seen: Mask = np.zeros(8, bool)
        self._values: Floats | None = None
        """Of all rows; made when somebody asks, for most changes come while nobody does."""

    def column(self, size: int) -> Floats:
        """Return all rows up to ``size``."""
        self._fit(size)
        if self._values is None:
            self._values = np.where(self._seen, self._own, self._usual)
        return self._values

    def take(self, row: int, value: float, usual: float) -> None:
        """Move a row's number; rows without one of their own become the pool's, ``usual``."""
        self._fit(row + 1)
        known = float(self._own[row]) if self._seen[row] else usual
        self._own[row] = known + self._gain * (value - known)
        self._seen[row] = True
        self._usual = usual
        self._values = None

    def forget(self, row: int, usual: float) -> None:
        """The row's number becomes the pool's again."""
        if row < len(self._own):
            self._seen[row] = False
            self._usual = usual
            self._values = None

    def _fit(self, size: int) -> None:
        added = size - len(self._own)
        if added > 0:
            self._own = np.concatenate([self._own, np.zeros(added)])
            self._seen = np.concatenate([self._seen, np.zeros(added, bool)])
            self._values = None
