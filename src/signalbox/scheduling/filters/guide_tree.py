"""``decision-tree``: the guide's tree as a plugin of a profile."""

from __future__ import annotations

from signalbox.pool import Rows
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.guide import GuideThresholds, guide_tree
from signalbox.scheduling.parameters import Fraction, NotNegative
from signalbox.scheduling.plugin import FilterPlugin, Parameters


class GuideTreeParameters(Parameters):
    """Parameters of decision-tree: the thresholds of the guide release."""

    kv_cache_threshold: Fraction = 0.8
    """KV usage up to which an endpoint has capacity for a request that is not critical."""
    queue_threshold_critical: NotNegative = 5.0
    """Queue length up to which it has."""
    queuing_threshold_lora: NotNegative = 128.0
    """Queue length under which an adapter's own endpoints are preferred."""
    lora_affinity_threshold: Fraction = 0.999
    """How often they are."""


class GuideTree(FilterPlugin[GuideTreeParameters]):
    """The filter tree of the get-started guide's release.

    Requests of priority above 0: where a queue is short, adapter affinity, then least queuing, then least KV usage;
    else least queuing, adapter affinity, least KV usage. Others: first the endpoints with capacity, by least queuing,
    adapter affinity, least KV usage; where none has capacity, as above. Source: the filter tree of the Gateway API
    Inference Extension v0.2 and v0.3, whose environment variables have the names of the parameters.
    """

    type = "decision-tree"
    use = "The behaviour of the guide release, alone in a profile or before scorers."
    preference = True

    def __init__(self, parameters: GuideTreeParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        settings = self.parameters
        self._tree = guide_tree(
            GuideThresholds(
                settings.kv_cache_threshold,
                settings.queue_threshold_critical,
                settings.queuing_threshold_lora,
                settings.lora_affinity_threshold,
            )
        )

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Walk the tree that fits the request."""
        return self._tree.keep(cycle, rows)

    def keep_few(self, cycle: Cycle, rows: list[int]) -> list[int]:
        """Return the same."""
        return self._tree.keep_few(cycle, rows)
