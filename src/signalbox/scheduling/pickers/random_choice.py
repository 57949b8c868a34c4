"""``random-picker``."""

from __future__ import annotations

from signalbox.pool import Floats, Rows
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.pickers.parameters import PickerParameters
from signalbox.scheduling.plugin import PickerPlugin


class RandomPicker(PickerPlugin[PickerParameters]):
    """Any candidate, whatever its score.

    Every candidate is equally likely, fallbacks included. Source: random-picker of the Gateway API Inference Extension
    and llm-d.
    """

    type = "random-picker"
    use = "A baseline to compare policies with."

    @property
    def endpoints(self) -> int:
        """How many endpoints an answer names."""
        return self.parameters.max_num_of_endpoints

    def pick(self, cycle: Cycle, rows: Rows, scores: Floats, limit: int) -> Rows:
        """Return up to ``limit`` rows by chance."""
        picked: Rows = rows[cycle.rng.sample(range(len(rows)), min(limit, len(rows)))]
        return picked

    def pick_few(self, cycle: Cycle, rows: list[int], scores: list[float], limit: int) -> list[int]:
        """Return the same."""
        count = len(rows)
        return [rows[place] for place in cycle.rng.sample(range(count), min(limit, count))]
