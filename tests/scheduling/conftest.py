"""A pool's columns and endpoints in one line."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from signalbox.pool import Columns, Endpoint, Floats, Rows
from signalbox.scheduling import Cycle
from signalbox.scheduling.prefix.match import PrefixMatch


class World:
    """Endpoints ``pod-0`` at 10.0.0.1:8000, ``pod-1`` at 10.0.0.2:8000 and so on, on rows 0, 1, ..."""

    def __init__(
        self, count: int, labels: Sequence[Mapping[str, str]] | None = None, **columns: Sequence[float]
    ) -> None:
        self.columns = Columns()
        while self.columns.size < count:
            self.columns.grow()
        self.columns.scraped_at[:count] = 0.0
        for name, values in columns.items():
            getattr(self.columns, name)[: len(values)] = values
        self.columns.failing = int((self.columns.failed_scrapes > 0).sum())
        self.endpoints = {
            row: Endpoint(
                f"pod-{row}", "default", f"pod-{row}", f"10.0.0.{row + 1}", 8000, row, labels[row] if labels else {}
            )
            for row in range(count)
        }

    @property
    def rows(self) -> Rows:
        """All rows."""
        return np.array(sorted(self.endpoints), np.intp)

    def cycle(self, target: str = "m", priority: int = 0, *, seed: int = 1, **fields: Any) -> Cycle:
        """A decision in the making over these endpoints."""
        return Cycle(target, priority, self.columns, random.Random(seed), endpoints=self.endpoints, **fields)

    def prefix(self, blocks: Sequence[float], total: int, block_size: int = 16) -> PrefixMatch:
        """A prompt of ``total`` blocks, of which each endpoint holds so many."""
        held: Floats = np.zeros(self.columns.size)
        held[: len(blocks)] = blocks
        return PrefixMatch(held, total, block_size, total * block_size)


@pytest.fixture
def world() -> type[World]:
    """Builds columns and endpoints: ``world(3, waiting=[1, 2, 3])``."""
    return World
