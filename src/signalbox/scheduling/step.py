"""What a policy did, step by step."""

from __future__ import annotations

import msgspec
import numpy as np

from signalbox.pool import Rows


class Step(msgspec.Struct):
    """One thing a policy did: which plugin, over how many candidates, leaving how many."""

    plugin: str
    before: int
    after: int
    left: Rows | list[int] | None = None
    fault: str = ""
    """Why the plugin was left out, if it was: what it raised."""
    ends: str | None = None
    """The profile whose run this step ended: a pick, or a filter that left nobody."""
    begun: int = 0
    """Where among the steps that run began."""

    @property
    def rows(self) -> Rows | None:
        """What a filter left; the array is its own: read it, do not write. ``None`` for steps that leave out nobody.

        Few steps are ever looked at, so a list becomes an array only here.
        """
        if isinstance(self.left, list):
            self.left = np.array(self.left, np.intp)
        return self.left
