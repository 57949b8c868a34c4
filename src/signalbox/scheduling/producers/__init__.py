"""Producers: each finds something out for other plugins, in a file of its own."""

from signalbox.scheduling.producers.mm_embeddings_cache import MultimodalCacheProducer
from signalbox.scheduling.producers.p2p_source import KV_SOURCE_HEADER, P2PSourceProducer
from signalbox.scheduling.producers.precise_prefix_cache import PrecisePrefixCacheProducer
from signalbox.scheduling.producers.predicted_latency import PredictedLatencyProducer
from signalbox.scheduling.producers.session_id import SessionIDProducer
from signalbox.scheduling.producers.topology import TopologyExtractor

__all__ = [
    "KV_SOURCE_HEADER",
    "MultimodalCacheProducer",
    "P2PSourceProducer",
    "PrecisePrefixCacheProducer",
    "PredictedLatencyProducer",
    "SessionIDProducer",
    "TopologyExtractor",
]
