"""Columns made from what does not change from request to request: an endpoint's labels and its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import numpy as np

from signalbox.pool import Endpoint, Floats, Mask
from signalbox.scheduling.framework import Cycle

T = TypeVar("T")


class Derived(Generic[T]):
    """A value computed from the endpoints once, and again when they change.

    ``compute`` gets the endpoints by row and the number of rows. The endpoints of a cycle come as another mapping
    whenever they change; holding the mapping makes its identity a safe key.
    """

    __slots__ = ("_compute", "_endpoints", "_size", "_value")

    def __init__(self, compute: Callable[[Mapping[int, Endpoint], int], T]) -> None:
        self._compute = compute
        self._endpoints: Mapping[int, Endpoint] | None = None
        self._size = -1
        self._value: T | None = None

    def of(self, cycle: Cycle) -> T:
        """Return the value for the cycle's endpoints."""
        if self._endpoints is not cycle.endpoints or self._size != cycle.columns.size:
            self._value = self._compute(cycle.endpoints, cycle.columns.size)
            self._endpoints, self._size = cycle.endpoints, cycle.columns.size
        return self._value  # type: ignore[return-value]


def mask_column(test: Callable[[Endpoint], bool]) -> Derived[Mask]:
    """Return a column of whether each endpoint passes ``test``; rows without an endpoint do not."""

    def compute(endpoints: Mapping[int, Endpoint], size: int) -> Mask:
        mask = np.zeros(size, bool)
        for row, endpoint in endpoints.items():
            mask[row] = test(endpoint)
        return mask

    return Derived(compute)


def label_masks(key: str) -> Derived[dict[str, Mask]]:
    """Return, for each value of the label ``key``, a column of which endpoints have it."""

    def compute(endpoints: Mapping[int, Endpoint], size: int) -> dict[str, Mask]:
        masks: dict[str, Mask] = {}
        for row, endpoint in endpoints.items():
            value = endpoint.labels.get(key)
            if value is not None:
                masks.setdefault(value, np.zeros(size, bool))[row] = True
        return masks

    return Derived(compute)


def number_columns(read: Callable[[Endpoint], tuple[float, ...]], width: int) -> Derived[Floats]:
    """Return ``width`` columns of numbers, shape ``(width, rows)``; rows without an endpoint hold nan."""

    def compute(endpoints: Mapping[int, Endpoint], size: int) -> Floats:
        columns: Floats = np.full((width, size), np.nan)
        for row, endpoint in endpoints.items():
            columns[:, row] = read(endpoint)
        return columns

    return Derived(compute)


def rows_by(key: Callable[[Endpoint], Any]) -> Derived[dict[Any, tuple[int, ...]]]:
    """Return the rows of the endpoints for each value of ``key``, ascending."""

    def compute(endpoints: Mapping[int, Endpoint], size: int) -> dict[Any, tuple[int, ...]]:
        del size
        found: dict[Any, list[int]] = {}
        for row in sorted(endpoints):
            found.setdefault(key(endpoints[row]), []).append(row)
        return {value: tuple(rows) for value, rows in found.items()}

    return Derived(compute)
