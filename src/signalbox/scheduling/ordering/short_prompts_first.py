"""``short-prompts-first-ordering-policy``."""

from __future__ import annotations

from signalbox.scheduling.parameters import NotNegative
from signalbox.scheduling.plugin import Parameters
from signalbox.scheduling.queueing import OrderingPlugin, Turn


class ShortPromptsFirstParameters(Parameters):
    """Parameters of short-prompts-first-ordering-policy."""

    ms_per_token: NotNegative = 0.66
    """How much later than it came a prompt counts as having come, in milliseconds for each of its tokens. The default
    is twenty times what Llama 3.1 8B on an H100 takes to compute one."""


class ShortPromptsFirst(OrderingPlugin[ShortPromptsFirstParameters]):
    """Short prompts go first, and long ones after a wait in proportion to their length.

    Formula: sorts by ``arrival + msPerToken * prompt tokens``, the tokens estimated. So a prompt of 10,000 tokens goes
    before those of 100 that come 6.6 s after it or later, and nobody starves. Source: none; it is the shortest job
    first rule with aging.
    """

    type = "short-prompts-first-ordering-policy"
    use = "Prompts of very different lengths: a short one should not wait for the work of a long one."

    def key(self, turn: Turn) -> float:
        """Return when it would have to have come to be here by its length."""
        return turn.arrived + turn.prompt_tokens * self.parameters.ms_per_token / 1000.0
