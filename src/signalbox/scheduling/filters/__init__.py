"""Filters: each narrows the candidates by one rule, in a file of its own.

``decision-tree`` as a plugin is in `signalbox.scheduling.filters.guide_tree`, which builds on the guide's policy and so
on this package.
"""

from signalbox.scheduling.filters.decision_tree import DecisionTree, Node
from signalbox.scheduling.filters.endpoint_attribute import EndpointAttributeFilter
from signalbox.scheduling.filters.has_capacity import HasCapacity
from signalbox.scheduling.filters.header_based_testing import HeaderBasedTestingFilter
from signalbox.scheduling.filters.label_selector import LabelSelectorFilter
from signalbox.scheduling.filters.least_kv_cache import LeastKVCache
from signalbox.scheduling.filters.least_queuing import LeastQueuing
from signalbox.scheduling.filters.lora_affinity import LoRAAffinity
from signalbox.scheduling.filters.low_queue import LowQueue
from signalbox.scheduling.filters.prefix_cache_affinity import PrefixCacheAffinityFilter
from signalbox.scheduling.filters.reachable import Reachable
from signalbox.scheduling.filters.roles import DecodeFilter, EncodeFilter, PrefillFilter
from signalbox.scheduling.filters.session_affinity import SessionAffinityFilter
from signalbox.scheduling.filters.slo_headroom_tier import SLOHeadroomTierFilter
from signalbox.scheduling.filters.topology_affinity import TopologyAffinityFilter
from signalbox.scheduling.filters.utilization import UtilizationFilter

__all__ = [
    "DecisionTree",
    "DecodeFilter",
    "EncodeFilter",
    "EndpointAttributeFilter",
    "HasCapacity",
    "HeaderBasedTestingFilter",
    "LabelSelectorFilter",
    "LeastKVCache",
    "LeastQueuing",
    "LoRAAffinity",
    "LowQueue",
    "Node",
    "PrefillFilter",
    "PrefixCacheAffinityFilter",
    "Reachable",
    "SLOHeadroomTierFilter",
    "SessionAffinityFilter",
    "TopologyAffinityFilter",
    "UtilizationFilter",
]
