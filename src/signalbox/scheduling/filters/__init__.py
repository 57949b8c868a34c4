"""Filters: each narrows the candidates by one rule, in a file of its own."""

from signalbox.scheduling.filters.decision_tree import DecisionTree, Node
from signalbox.scheduling.filters.has_capacity import HasCapacity
from signalbox.scheduling.filters.least_kv_cache import LeastKVCache
from signalbox.scheduling.filters.least_queuing import LeastQueuing
from signalbox.scheduling.filters.lora_affinity import LoRAAffinity
from signalbox.scheduling.filters.low_queue import LowQueue
from signalbox.scheduling.filters.reachable import Reachable

__all__ = [
    "DecisionTree",
    "HasCapacity",
    "LeastKVCache",
    "LeastQueuing",
    "LoRAAffinity",
    "LowQueue",
    "Node",
    "Reachable",
]
