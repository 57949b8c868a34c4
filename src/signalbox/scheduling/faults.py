"""A plugin that raises must not take a request with it: count it, log it once, go on without it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Container

log = logging.getLogger("signalbox.scheduling")

LONGEST = 200
"""Characters of a fault that a decision keeps."""


class Faults:
    """What went wrong in plugins: ``counts`` by plugin name."""

    __slots__ = ("_logged", "counts")

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._logged: set[str] = set()

    def note(self, plugin: str, error: Exception) -> str:
        """Count a fault of ``plugin`` and return it in a line; the first one of each is logged with its traceback."""
        self.counts[plugin] += 1
        if plugin not in self._logged:
            self._logged.add(plugin)
            log.error(
                "plugin %s failed and was left out of this decision; further faults are counted only: %s",
                plugin,
                error,
                exc_info=error,
            )
        return f"{type(error).__name__}: {error}"[:LONGEST]

    def adopt(self, previous: Faults, dropped: Container[str] = ()) -> None:
        """Go on counting where ``previous`` stopped, but for the plugins named in ``dropped``; what it logged may be
        logged again, since plugins changed."""
        self.counts.update({name: count for name, count in previous.counts.items() if name not in dropped})
