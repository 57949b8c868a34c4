"""In which form this package runs: as its source says, or with the modules that every message passes compiled."""

from __future__ import annotations

from typing import Final

from signalbox.wire import frames

COMPILED: Final = not (frames.__file__ or "").endswith(".py")
"""Whether they are compiled. They are built together, so one stands for all; see docs/performance.md."""
