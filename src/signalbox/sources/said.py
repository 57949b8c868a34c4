"""Problems in the log: each once while it lasts, and again when it is solved."""

from __future__ import annotations

import logging
from collections.abc import Iterable

log = logging.getLogger("signalbox.sources")


class Said:
    """Remembers what was said."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    @property
    def current(self) -> tuple[str, ...]:
        """The problems there are now, sorted."""
        return tuple(sorted(self._said))

    def report(self, problems: Iterable[str]) -> None:
        """Log the problems that are new, and those that are gone."""
        listed = list(problems)
        for problem in listed:
            if problem not in self._said:
                log.warning("configuration problem", extra={"problem": problem})
        for problem in self._said - set(listed):
            log.info("configuration problem solved", extra={"problem": problem})
        self._said = set(listed)
