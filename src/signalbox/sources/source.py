"""What a picker asks of its source, wherever that reads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol


class Source(Protocol):
    """Keeps a pool in line with objects from elsewhere."""

    @property
    def problems(self) -> Sequence[str]:
        """What is wrong with the objects as they are now, one sentence each."""

    def changes(self) -> AsyncIterator[None]:
        """Follow the objects for ever; one item each time the pool was brought in line with them."""
