"""``decode-filter``, ``prefill-filter`` and ``encode-filter``: one rule with three sets of roles."""

from __future__ import annotations

from typing import ClassVar

from signalbox.pool import Endpoint, Rows
from signalbox.scheduling.derived import mask_column
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.plugin import FilterPlugin, Parameters
from signalbox.scheduling.roles import DECODE, ENCODE, PREFILL, ROLE_LABEL


class _RoleFilter(FilterPlugin[Parameters]):
    roles: ClassVar[frozenset[str]] = frozenset()
    unlabelled: ClassVar[bool] = False

    def __init__(self, parameters: Parameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._mask = mask_column(self._plays)

    def _plays(self, endpoint: Endpoint) -> bool:
        role = endpoint.labels.get(ROLE_LABEL)
        return self.unlabelled if role is None else role in self.roles

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the rows whose role takes part in the stage."""
        kept: Rows = rows[self._mask.of(cycle)[rows]]
        return kept

    def keep_few(self, cycle: Cycle, rows: list[int]) -> list[int]:
        """Return the same."""
        mask = self._mask.of(cycle).tolist()
        return [row for row in rows if mask[row]]


class DecodeFilter(_RoleFilter):
    """Keep endpoints that decode.

    Keeps those whose label ``llm-d.ai/role`` is decode, prefill-decode, both or encode-prefill-decode, and those
    without the label. Source: decode-filter of llm-d.
    """

    type = "decode-filter"
    use = "The decode profile of disaggregated serving."
    roles = DECODE
    unlabelled = True


class PrefillFilter(_RoleFilter):
    """Keep endpoints that prefill.

    Keeps those whose label ``llm-d.ai/role`` is prefill, encode-prefill, prefill-decode, both or encode-prefill-decode.
    Source: prefill-filter of llm-d.
    """

    type = "prefill-filter"
    use = "The prefill profile of disaggregated serving."
    roles = PREFILL


class EncodeFilter(_RoleFilter):
    """Keep endpoints that encode images, video and audio.

    Keeps those whose label ``llm-d.ai/role`` is encode, encode-prefill or encode-prefill-decode. Source: encode-filter
    of llm-d.
    """

    type = "encode-filter"
    use = "The encode profile of disaggregated serving."
    roles = ENCODE
