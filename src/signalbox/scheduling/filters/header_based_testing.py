"""``header-based-testing-filter``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from signalbox.pool import Endpoint, Rows
from signalbox.scheduling.derived import Derived
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.plugin import FilterPlugin, Parameters

HEADER = "test-epp-endpoint-selection"


def _by_name(endpoints: Mapping[int, Endpoint], size: int) -> dict[str, list[int]]:
    del size
    found: dict[str, list[int]] = {}
    for row in sorted(endpoints):
        endpoint = endpoints[row]
        for name in dict.fromkeys((endpoint.address, endpoint.host, f"[{endpoint.host}]")):
            found.setdefault(name, []).append(row)
    return found


class HeaderBasedTestingFilter(FilterPlugin[Parameters]):
    """Keep the endpoints that the header ``test-epp-endpoint-selection`` names.

    The header is a comma list of ``ip`` (all its ports) and ``ip:port``. The result is in the header's order, each
    endpoint once; none without the header. Source: header-based-testing-filter of the Gateway API Inference Extension.
    """

    type = "header-based-testing-filter"
    use = "Conformance tests. Never in production: clients choose their endpoint."

    def __init__(self, parameters: Parameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._rows = Derived(_by_name)

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the named rows in the header's order."""
        by_name = self._rows.of(cycle)
        allowed = set(rows.tolist())
        named: dict[int, None] = {}
        for name in cycle.headers.get(HEADER, "").split(","):
            for row in by_name.get(name.strip(), ()):
                if row in allowed:
                    named[row] = None
        return np.fromiter(named, np.intp, len(named))
