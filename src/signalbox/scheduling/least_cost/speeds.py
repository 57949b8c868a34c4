"""How fast each endpoint prefills, learned from the times to the first tokens.

A first token comes after ``fixed + s * tokens`` seconds, where ``tokens`` are those of the prompt that had to be
computed and those that were ahead of it. ``fixed`` and s are of the pool: a weighted least squares line over all
observations, older ones forgotten. Each endpoint has a factor on top, so that mixed GPUs and one slow server are told
apart, and a new endpoint is taken for an average one.

An observation more than `CLIP` times off counts as `CLIP` times off: one stall does not change the picture. Factors
near one are taken for one: equal servers must look equal, or noise would herd requests onto the one that looks
fastest.
"""

from __future__ import annotations

import math

import numpy as np

from signalbox.pool import Floats

PRIOR_SECONDS = 60e-6
"""Seconds per prompt token before anything was seen: between an 8B model on an H100 (33 us) and on an A100 (103 us)."""

PRIOR_FIXED = 0.02
"""Seconds before the first token that no prompt token explains, before anything was seen."""

LEAST_TOKENS = 256
"""Observations of fewer tokens say more about the step they waited for than about speed: not counted."""

CLIP = 3.0
FORGET = 0.99
"""How much of the past is kept at each observation, for the pool's line: it spans about 100."""

GAIN = 0.1
"""How far a factor moves towards one observation; the first ones of an endpoint count for more."""

BAND = 0.2
"""Logarithm of a factor up to which it is taken for one; from twice that on it counts in full."""

STEP_SECONDS = 0.05
"""A step with a full chunk of somebody's prompt: what the time of a short prompt hangs on by chance."""

FADE = 1 - 1 / 2000
"""What is left of a factor's logarithm for each observation of others: an endpoint that was slow and is avoided for it
gets another chance."""

_MOST = math.log(CLIP)
_CENTRE_EVERY = 16  # observations: a median costs more than all the rest
_PRIOR_WEIGHT = 4.0
_PULL = 0.02
_FIXED = (0.0, 5.0)  # seconds
_PER_TOKEN = (1e-7, 0.1)  # seconds


class Speeds:
    """Seconds per prompt token, by row."""

    def __init__(self) -> None:
        self.fixed = PRIOR_FIXED
        """Seconds to the first token besides the prefill."""
        self.seconds_per_token = PRIOR_SECONDS
        """Of an average endpoint."""
        self._sums = _prior(PRIOR_FIXED, PRIOR_SECONDS)
        self._factors: Floats = np.zeros(8)  # logarithms
        self._seen: Floats = np.zeros(8)
        self._centre = 0.0
        self._observed = 0
        self._column: Floats = np.full(8, PRIOR_SECONDS)
        """Seconds per token of every row, kept ready for `column`."""

    def column(self, size: int) -> Floats:
        """Return seconds per token for all rows up to ``size``."""
        if len(self._column) < size:
            added = size - len(self._column)
            self._factors = np.concatenate([self._factors, np.zeros(added)])
            self._seen = np.concatenate([self._seen, np.zeros(added)])
            self._column = np.concatenate([self._column, np.full(added, self.seconds_per_token)])
        return self._column

    def observe(self, row: int, tokens: float, seconds: float) -> None:
        """A first token came ``seconds`` after its request was sent to ``row`` behind ``tokens`` to compute."""
        if tokens < LEAST_TOKENS or not 0.0 < seconds < math.inf or not tokens < math.inf:
            return
        self.column(row + 1)
        usual = self.fixed + self.seconds_per_token * tokens
        self._factors *= FADE
        known = float(self._factors[row])
        surprise = min(max(math.log(seconds / usual) - known, -_MOST), _MOST)
        # A first token waits for a step that has begun, 10 to 70 ms: of a short prompt that is most of its time.
        told = tokens * self.seconds_per_token / (usual + STEP_SECONDS)
        told *= told
        gain = told * max(GAIN, 1.0 / (float(self._seen[row]) + 2.0))
        self._factors[row] = known + gain * surprise
        self._seen[row] += told
        self._observed += 1
        if self._observed % _CENTRE_EVERY == 0 or self._observed < _CENTRE_EVERY:
            self._centre = float(np.median(self._factors[self._seen > 0]))
        # The line is of a middling endpoint: of one that is told apart, what its factor explains is taken out.
        explained = self._centre if abs(known - self._centre) > BAND else known
        self._fit(tokens, usual * math.exp(surprise + explained), usual)
        relative = self._factors - self._centre
        relative[self._seen == 0] = 0.0
        size = np.abs(relative)
        beyond = np.sign(relative) * np.minimum(size, np.maximum(2.0 * (size - BAND), 0.0))
        self._column = self.seconds_per_token * np.exp(beyond)

    def _fit(self, tokens: float, seconds: float, usual: float) -> None:
        """Take one more point into the line, weighted so that relative errors count."""
        weight = 1.0 / (usual * usual)
        sums = [FORGET * value for value in self._sums]
        for index, value in enumerate((1.0, tokens, tokens * tokens, seconds, tokens * seconds)):
            sums[index] += weight * value
        # Pulled towards where it is, so that prompts of one length leave the line's slope where it was.
        pull = _prior(self.fixed, self.seconds_per_token)
        ones, first, second, value, product = (mine + _PULL * other for mine, other in zip(sums, pull, strict=True))
        self._sums = sums
        determinant = ones * second - first * first
        if determinant <= 1e-12 * ones * second:
            return
        slope = (ones * product - first * value) / determinant
        self.seconds_per_token = min(max(slope, _PER_TOKEN[0]), _PER_TOKEN[1])
        fixed = (value - self.seconds_per_token * first) / ones
        self.fixed = min(max(fixed, _FIXED[0]), _FIXED[1])

    def forget(self, row: int) -> None:
        """The endpoint has left; the row's next one starts as an average one."""
        if row < len(self._factors):
            self._factors[row] = self._seen[row] = 0.0
            self._column[row] = self.seconds_per_token


def _prior(fixed: float, per_token: float) -> list[float]:
    """Sums of least squares for `_PRIOR_WEIGHT` points on a line, at 512 and at 8,192 tokens."""
    sums = [0.0] * 5
    for tokens in (512.0, 8192.0):
        seconds = fixed + per_token * tokens
        weight = _PRIOR_WEIGHT / 2 / (seconds * seconds)
        for index, value in enumerate((1.0, tokens, tokens * tokens, seconds, tokens * seconds)):
            sums[index] += weight * value
    return sums
