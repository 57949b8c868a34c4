"""A plugin that raises must not take a request with it: count it, log it once, go on without it."""

from __future__ import annotations

import logging
from collections import Counter

log = logging.getLogger("signalbox.scheduling")


class Faults:
    """What went wrong in plugins: ``counts`` by plugin name."""

    __slots__ = ("_logged", "counts")

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._logged: set[str] = set()

    def note(self, plugin: str, error: Exception) -> None:
        """Count a fault of ``plugin``; the first one of each plugin is logged with its traceback."""
        self.counts[plugin] += 1
        if plugin not in self._logged:
            self._logged.add(plugin)
            log.error(
                "plugin %s failed and was left out of this decision; further faults are counted only: %s",
                plugin,
                error,
                exc_info=error,
            )

    def adopt(self, previous: Faults) -> None:
        """Go on counting where ``previous`` stopped; what it logged may be logged again, since plugins changed."""
        self.counts.update(previous.counts)
