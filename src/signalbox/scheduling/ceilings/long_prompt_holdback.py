"""``long-prompt-holdback-policy``."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Annotated

from pydantic import StrictFloat

from signalbox.scheduling.parameters import Bounds, Duration, NotNegative
from signalbox.scheduling.plugin import Parameters, Plugin
from signalbox.scheduling.queueing import Turn, UsageLimitPlugin

REMEMBERED = 512
"""Prompts that tell which ones are long."""

_EVERY = 16
"""Prompts after which that is worked out anew."""


class LongPromptHoldbackParameters(Parameters):
    """Parameters of long-prompt-holdback-policy."""

    share: Annotated[StrictFloat, Bounds(above=0, maximum=1)] = 0.1
    """How many of the prompts count as long at most, the longest ones: 0.1 is one in ten."""
    ceiling: NotNegative = 1.0
    """Up to which saturation long prompts go."""
    others_ceiling: NotNegative = 2.0
    """Up to which saturation all others go."""
    longest_hold: Annotated[Duration, Bounds(minimum=0)] = 10.0
    """Seconds, or a duration like ``10s``, after which a prompt goes at any saturation. Requests with a priority below
    zero wait on."""


class LongPromptHoldback(UsageLimitPlugin[LongPromptHoldbackParameters]):
    """In a full pool the longest prompts wait, for a while, and the others go on.

    Formula: the ceiling is ``ceiling`` for a prompt longer than the ``1 - share`` quantile of the last 512 and for all
    requests with a priority below zero, and ``othersCeiling`` for others; it is infinite for those of zero and above
    that have waited ``longestHold``. Where all are alike, and until 16 have come, none is long. Source: none. That a
    few of the jobs are most of the work, and that letting these wait serves nearly everybody sooner, is known of
    heavy-tailed queues (Harchol-Balter, Performance Modeling and Design of Computer Systems, 2013).
    """

    type = "long-prompt-holdback-policy"
    use = "Prompts of very different lengths, and a limit that nine of ten requests are to keep. With pace-detector."

    def __init__(self, parameters: LongPromptHoldbackParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._lengths: deque[float] = deque(maxlen=REMEMBERED)
        self._arrived = 0
        self._long = math.inf
        """A prompt of more tokens is long."""

    def arrived(self, turn: Turn) -> None:
        """Remember how long its prompt is."""
        self._lengths.append(turn.prompt_tokens)
        self._arrived += 1
        if self._arrived % _EVERY == 0:
            ordered = sorted(self._lengths)
            self._long = ordered[min(int((1.0 - self.parameters.share) * len(ordered)), len(ordered) - 1)]

    def ceilings(self, saturation: float, priorities: Sequence[int]) -> Sequence[float]:
        """Return the ceiling of the others for priorities of zero and above, that of long prompts for those below."""
        limits = self.parameters
        return [limits.others_ceiling if priority >= 0 else limits.ceiling for priority in priorities]

    def ceiling(self, turn: Turn, ceiling: float, now: float) -> float:
        """Return the ceiling of a prompt of this length that has waited for so long."""
        if turn.flow.priority < 0:
            return ceiling
        if now - turn.arrived >= self.parameters.longest_hold:
            return math.inf
        return ceiling if turn.prompt_tokens <= self._long else min(self.parameters.ceiling, ceiling)

    def adopt(self, previous: Plugin[LongPromptHoldbackParameters]) -> None:
        """Keep what was learned of prompts."""
        assert isinstance(previous, LongPromptHoldback)
        self._lengths, self._arrived, self._long = previous._lengths, previous._arrived, previous._long
