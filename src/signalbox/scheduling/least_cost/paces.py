"""How slowly tokens of an answer are expected to come from each endpoint, in seconds per token.

In part that is measured, in the answers that ended there last. But few end within the time in which a server's load
changes, and chance makes some fast: who goes by that alone sends everything to the lucky one until its luck is over.
So the larger part is reckoned from what the endpoint has to do. A token takes a step, and a step takes, with s the
seconds to prefill one token, ::

    s * (base + SEQUENCE_TOKENS * requests + context / KV_READ_TOKENS + sent / tokens)

- the sequences decoding, and reads of their KV cache;
- the prompts computed meanwhile: ``sent`` tokens in a window, in which an answer gets ``tokens`` of its own. There are
  two windows: the shorter one tells what is being computed now, and keeps prompts that come one after the other apart;
  the longer one, in which an answer begins and ends, how much the endpoint has had to do all in all;
- ``base``, in prompt tokens, for all that is the same everywhere: learned, so that answers take what they take on
  average.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from signalbox.pool import Floats, Rows

KV_READ_TOKENS = 700.0
"""Tokens of KV cache that attention reads in the time in which one prompt token is computed. Two bytes for each K and V
value are read where a prompt token takes two operations for each parameter: 640 for Llama 3.1 8B on an H100, 1,240 on
an A100. The term it scales is small, so one number serves."""

SEQUENCE_TOKENS = 0.8
"""What a decoding sequence adds to a step besides its reads (scheduling, sampling), in prompt tokens: 30 us where one
takes 33 us."""

MODELLED = 0.8
"""How much of the pace is reckoned; the rest is measured, once something was."""

LASTING = 0.3
"""How much of what was sent is that of the longer window."""

LEAST_SECONDS = 0.002
"""No token is reckoned to come faster."""

GAIN = 0.02


class Paces:
    """What is the same everywhere, and the loads as they were found last."""

    def __init__(self) -> None:
        self.base = 0.0
        """Prompt tokens that a step takes as long as, besides its load. 0 until an answer has ended."""
        self._learned = 0
        self._rows: Rows | Sequence[int] = ()
        self._loads: Floats | Sequence[float] = ()

    def expected(
        self, rows: Rows, speeds: Floats, requests: Floats, context: Floats, sent: Floats, measured: Floats
    ) -> Floats:
        """Return seconds per token of each of ``rows``, which ascend. ``sent`` are tokens for each token of an
        answer."""
        loads = requests * SEQUENCE_TOKENS + context / KV_READ_TOKENS + sent
        self._rows, self._loads = rows, loads
        reckoned = np.maximum(speeds * (loads + self.base), LEAST_SECONDS)
        paces: Floats = reckoned * MODELLED + np.where(measured > 0.0, measured, reckoned) * (1.0 - MODELLED)
        return paces

    def expected_few(
        self,
        rows: list[int],
        speeds: Sequence[float],
        requests: Sequence[float],
        context: Sequence[float],
        sent: Sequence[float],
        measured: Sequence[float],
    ) -> list[float]:
        """Return the same, to the bit."""
        loads = [
            count * SEQUENCE_TOKENS + held / KV_READ_TOKENS + new
            for count, held, new in zip(requests, context, sent, strict=True)
        ]
        self._rows, self._loads = rows, loads
        base = self.base
        return [
            (told if (told := speed * (load + base)) > LEAST_SECONDS else (told := LEAST_SECONDS)) * MODELLED
            + (seen if seen > 0.0 else told) * (1.0 - MODELLED)
            for speed, load, seen in zip(speeds, loads, measured, strict=True)
        ]

    def learn(self, row: int, pace: float, speed: float) -> None:
        """An answer came from ``row`` at ``pace``; a prompt token takes ``speed`` seconds there.

        What the load does not explain is the base. The load is that of the last choice, which in a pool
        that has answers to end is a moment ago; a row that was no candidate then teaches nothing.
        """
        place = bisect_left(self._rows, row)
        if place == len(self._rows) or self._rows[place] != row:
            return
        self._learned += 1
        unexplained = pace / speed - float(self._loads[place])
        self.base += max(GAIN, 1.0 / self._learned) * (unexplained - self.base)
