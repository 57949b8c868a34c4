"""Scorers: each ranks the candidates by one rule, in a file of its own."""

from signalbox.scheduling.scorers.active_request import ActiveRequestScorer
from signalbox.scheduling.scorers.context_length import ContextLengthAware
from signalbox.scheduling.scorers.endpoint_attribute import EndpointAttributeScorer
from signalbox.scheduling.scorers.header_label_affinity import HeaderLabelAffinityScorer
from signalbox.scheduling.scorers.kv_cache_utilization import KVCacheUtilizationScorer
from signalbox.scheduling.scorers.latency import LatencyScorer, PredictedLatencyScorer
from signalbox.scheduling.scorers.least_cost import LeastCostScorer
from signalbox.scheduling.scorers.load_aware import LoadAwareScorer
from signalbox.scheduling.scorers.lora_affinity import LoRAAffinityScorer
from signalbox.scheduling.scorers.mm_embeddings_cache import MultimodalCacheScorer
from signalbox.scheduling.scorers.no_hit_lru import NoHitLRUScorer
from signalbox.scheduling.scorers.precise_prefix_cache import PrecisePrefixCacheScorer
from signalbox.scheduling.scorers.prefix_cache import PrefixCacheScorer
from signalbox.scheduling.scorers.queue import QueueScorer
from signalbox.scheduling.scorers.running_requests import RunningRequestsScorer
from signalbox.scheduling.scorers.session_affinity import SessionAffinityScorer
from signalbox.scheduling.scorers.token_load import TokenLoadScorer
from signalbox.scheduling.scorers.topology_affinity import TopologyAffinityScorer

__all__ = [
    "ActiveRequestScorer",
    "ContextLengthAware",
    "EndpointAttributeScorer",
    "HeaderLabelAffinityScorer",
    "KVCacheUtilizationScorer",
    "LatencyScorer",
    "LeastCostScorer",
    "LoRAAffinityScorer",
    "LoadAwareScorer",
    "MultimodalCacheScorer",
    "NoHitLRUScorer",
    "PrecisePrefixCacheScorer",
    "PredictedLatencyScorer",
    "PrefixCacheScorer",
    "QueueScorer",
    "RunningRequestsScorer",
    "SessionAffinityScorer",
    "TokenLoadScorer",
    "TopologyAffinityScorer",
]
