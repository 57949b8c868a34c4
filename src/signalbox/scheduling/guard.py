"""Plugins of other packages look at the pool and do not change it.

Where a policy holds one, every plugin of it is shown columns whose arrays cannot be written to, and mappings that take
no entry. A plugin that tries is at fault like one that raises; nothing is spoilt for anybody else. Our own plugins are
held to it by tests, and a policy of them alone pays nothing for this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np

from signalbox.pool import Columns, Endpoint
from signalbox.pool.columns import NAMES
from signalbox.pool.reported import Reported
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.latency.predictions import Predictions

_ASKED = ("target", "priority", "rng", "prompt_tokens", "now", "slo_ttft", "slo_tpot")
"""What a cycle says of the request itself: whoever comes after the plugins reads it as it was."""

_EMPTY: Mapping[int, Endpoint] = {}


class Guard:
    """One policy's view of the pool that cannot be written to, kept from decision to decision."""

    def __init__(self) -> None:
        self._source: Columns | None = None
        self._shown = Columns()
        self._endpoints = _EMPTY
        self._shown_endpoints: Mapping[int, Endpoint] = MappingProxyType({})

    @contextmanager
    def over(self, cycle: Cycle) -> Iterator[None]:
        """Show plugins the guarded pool for as long as this lasts."""
        columns, endpoints, headers, prefix = cycle.columns, cycle.endpoints, cycle.headers, cycle.prefix
        asked = [getattr(cycle, name) for name in _ASKED]
        cycle.columns = self.columns(columns)
        cycle.endpoints = self.endpoints(endpoints)
        cycle.headers = MappingProxyType(dict(headers))
        if prefix is not None:
            cycle.prefix = msgspec.structs.replace(prefix, blocks=_to_read(prefix.blocks))
        try:
            yield
        finally:
            cycle.columns, cycle.endpoints, cycle.headers, cycle.prefix = columns, endpoints, headers, prefix
            for name, value in zip(_ASKED, asked, strict=True):
                setattr(cycle, name, value)
            if cycle.predictions is not None and not _usable(cycle.predictions, columns.size):
                cycle.predictions = None

    def columns(self, columns: Columns) -> Columns:
        """Return the columns as they are now, in arrays that cannot be written to.

        The arrays are views and follow by themselves; what is replaced or counted is taken over at each call.
        """
        shown, same = self._shown, self._source is columns
        for name in NAMES:
            value = getattr(columns, name)
            if isinstance(value, np.ndarray):
                if not same or getattr(shown, name).base is not value:
                    setattr(shown, name, _to_read(value))
            elif isinstance(value, dict):
                known = getattr(shown, name)
                if not same or known.keys() != value.keys() or any(known[key].base is not value[key] for key in value):
                    setattr(shown, name, {key: _to_read(mask) for key, mask in value.items()})
            elif name != "report":
                if name == "reported" and (not same or shown.reported != value):
                    shown.report = Reported(shown)
                setattr(shown, name, value)
        self._source = columns
        return shown

    def endpoints(self, endpoints: Mapping[int, Endpoint]) -> Mapping[int, Endpoint]:
        """Return a mapping that takes no entry: another one whenever ``endpoints`` is another."""
        if endpoints is not self._endpoints:
            self._endpoints, self._shown_endpoints = endpoints, MappingProxyType(dict(endpoints))
        return self._shown_endpoints


def _usable(predictions: Any, size: int) -> bool:
    """Return whether these are predictions, with a number for each of ``size`` rows."""
    if not isinstance(predictions, Predictions):
        return False
    arrays = (predictions.ttft, predictions.ttft_headroom, predictions.tpot_headroom, predictions.tpot)
    return all(
        isinstance(array, np.ndarray) and array.dtype.kind == "f" and array.shape == (size,)
        for array in (arrays if predictions.tpot is not None else arrays[:3])
    )


def _to_read(array: Any) -> Any:
    view = array.view()
    view.setflags(write=False)
    return view
