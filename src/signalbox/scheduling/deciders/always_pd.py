"""``always-disagg-pd-decider``."""

from __future__ import annotations

from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.plugin import DeciderPlugin, Parameters


class AlwaysDisaggPDDecider(DeciderPlugin[Parameters]):
    """Prefill every request on a server of its own.

    Source: always-disagg-pd-decider of llm-d.
    """

    type = "always-disagg-pd-decider"
    use = "Decode servers that should never prefill; tests."

    def decide(self, cycle: Cycle, row: int | None) -> bool:
        """Return True."""
        return True
