"""What plugins do about a request before anybody chooses for it: find something out, let it in, screen its candidates.

Kept apart from the policy, which most requests of most configurations pass without any of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from signalbox.pool import Rows
from signalbox.scheduling.checked import CheckedFilter, check_reason
from signalbox.scheduling.faults import Faults
from signalbox.scheduling.framework import Cycle, Step
from signalbox.scheduling.plugin import AdmitterPlugin, Plugin, ProducerPlugin, ScreenerPlugin


class Beforehand:
    """The producers, admitters and screeners of a policy, each in the order of the file. One that fails is left out."""

    def __init__(self, plugins: Sequence[Plugin[Any]], faults: Faults) -> None:
        self.admitters = tuple(plugin for plugin in plugins if isinstance(plugin, AdmitterPlugin))
        self.screeners = tuple(CheckedFilter(plugin) for plugin in plugins if isinstance(plugin, ScreenerPlugin))
        self.producers = tuple(
            plugin
            for plugin in plugins
            if isinstance(plugin, ProducerPlugin) and type(plugin).produce is not ProducerPlugin.produce
        )
        """Those that note something on the cycle."""
        self._faults = faults

    def produce(self, cycle: Cycle) -> None:
        """Let producers note what they find."""
        for plugin in self.producers:
            try:
                plugin.produce(cycle)
            except Exception as error:
                self._faults.note(plugin.name, error)

    def admit(self, cycle: Cycle, rows: Rows) -> tuple[str, str] | None:
        """Return the name of the first admitter that refuses, and why; ``None`` where all let the request in."""
        for plugin in self.admitters:
            try:
                why = check_reason(plugin.name, plugin.admit(cycle, rows))
            except Exception as error:
                self._failed(cycle, plugin.name, len(rows), error)
                continue
            if why is not None:
                return plugin.name, why
        return None

    def screen(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the rows that all screeners leave."""
        for screener in self.screeners:
            before = len(rows)
            try:
                rows = screener.keep(cycle, rows)
            except Exception as error:
                self._failed(cycle, screener.name, before, error)
                continue
            cycle.steps.append(Step(screener.name, before, len(rows), rows))
        return rows

    def _failed(self, cycle: Cycle, name: str, count: int, error: Exception) -> None:
        cycle.steps.append(Step(name, count, count, None, self._faults.note(name, error)))
