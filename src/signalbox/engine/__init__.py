"""A step-based model of a continuous-batching LLM engine, in the shape of vLLM's scheduler: token budget per step,
chunked prefill, paged KV blocks with a prefix cache, preemption, LoRA slots. It knows neither a clock nor the network:
a caller on a real or a virtual clock passes the time in and gets back what happened and when to come again."""

from signalbox.engine.adapters import UnknownAdapter
from signalbox.engine.blocks import BlockPool, chain_hashes
from signalbox.engine.cache_changes import CacheChange, Cached, Evicted
from signalbox.engine.config import EngineConfig
from signalbox.engine.engine import Engine, RequestTooLarge
from signalbox.engine.profile import DEFAULT_PROFILE, PROFILES, EngineProfile
from signalbox.engine.requests import Phase, Request, RequestState
from signalbox.engine.results import EngineStats, StepResult

__all__ = [
    "DEFAULT_PROFILE",
    "PROFILES",
    "BlockPool",
    "CacheChange",
    "Cached",
    "Engine",
    "EngineConfig",
    "EngineProfile",
    "EngineStats",
    "Evicted",
    "Phase",
    "Request",
    "RequestState",
    "RequestTooLarge",
    "StepResult",
    "UnknownAdapter",
    "chain_hashes",
]
