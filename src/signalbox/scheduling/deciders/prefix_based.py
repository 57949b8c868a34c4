"""``prefix-based-pd-decider``."""

from __future__ import annotations

import numpy as np

from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.parameters import Count
from signalbox.scheduling.plugin import DeciderPlugin, Parameters


class PrefixBasedPDParameters(Parameters):
    """Parameters of prefix-based-pd-decider."""

    non_cached_tokens: Count = 0
    """Tokens the decode endpoint would have to compute from which prefill runs elsewhere; 0 for never."""
    prompt_tokens: Count = 0
    """Shortest prompt, in tokens, for which prefill runs elsewhere."""


class PrefixBasedPDDecider(DeciderPlugin[PrefixBasedPDParameters]):
    """Prefill elsewhere when much of the prompt is not cached where it will be decoded.

    Yes where ``tokens >= promptTokens`` and ``tokens - matched * block_size >= nonCachedTokens`` on the chosen decode
    endpoint; no where nonCachedTokens is 0 or the prompt was not looked up. Source: prefix-based-pd-decider of llm-d.
    """

    type = "prefix-based-pd-decider"
    use = "Disaggregated serving of conversations: short additions are cheaper to prefill in place."
    reads_prefix = True

    def decide(self, cycle: Cycle, row: int | None) -> bool:
        """Return whether enough of the prompt is missing on ``row``."""
        settings = self.parameters
        if not settings.non_cached_tokens or cycle.prefix is None or row is None:
            return False
        if cycle.prompt_tokens < settings.prompt_tokens:
            return False
        return bool(cycle.prefix.uncached_tokens(np.array([row]))[0] >= settings.non_cached_tokens)
