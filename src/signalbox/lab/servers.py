"""The model servers of a replay: engines, the pods they are to the picker, and when they come and go."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from signalbox.engine import PROFILES, Engine, EngineConfig, EngineProfile
from signalbox.pool import Pool, Readings
from signalbox.resources import InferenceObjective, InferencePool, Origin, Pod, parse_resource

_LABELS = {"app": "lab"}
_ORIGIN = Origin("lab", 1, 1)


@dataclass(frozen=True, slots=True)
class Server:
    """One model server to be."""

    profile: EngineProfile
    config: EngineConfig
    joins: float = 0.0
    """When its pod becomes ready, in seconds of the replay."""
    leaves: float = math.inf
    """When its pod stops being ready. What it has begun it finishes."""
    labels: dict[str, str] = field(default_factory=dict)

    def slowed(self, factor: float) -> Server:
        """The same on a GPU whose every step takes ``factor`` times as long."""
        profile = self.profile
        slow = replace(
            profile,
            name=f"{profile.name}, {factor:g}x slower",
            step_seconds=profile.step_seconds * factor,
            prefill_seconds=profile.prefill_seconds * factor,
            decode_seconds=profile.decode_seconds * factor,
            kv_read_seconds=profile.kv_read_seconds * factor,
        )
        return replace(self, profile=slow)


def server(
    profile: EngineProfile | str,
    *,
    gpu_memory_utilization: float = 0.9,
    max_loras: int = 0,
    max_cpu_loras: int = 0,
    max_lora_rank: int = 16,
    **limits: Any,
) -> Server:
    """One server of a profile, given by itself or by its name, with the KV cache its memory leaves and the profile's
    own limits; ``limits`` are further fields of `EngineConfig`. Raises ValueError for a name nobody knows."""
    if isinstance(profile, str):
        if profile not in PROFILES:
            raise ValueError(f"engine {profile!r} is unknown; known engines: {', '.join(PROFILES)}")
        profile = PROFILES[profile]
    block_size = limits.setdefault("block_size", 16)
    limits.setdefault(
        "num_gpu_blocks", profile.num_gpu_blocks(block_size, gpu_memory_utilization, max_loras, max_lora_rank)
    )
    if limits["num_gpu_blocks"] < 1 and max_loras:
        raise ValueError(
            f"max_loras: {max_loras} slots for adapters leave {profile.name} no memory for a KV cache; lower it"
        )
    limits.setdefault("max_model_len", profile.max_model_len)
    limits.setdefault("max_num_batched_tokens", profile.max_num_batched_tokens)
    config = EngineConfig(
        max_loras=max_loras,
        max_cpu_loras=max(max_cpu_loras, max_loras),
        max_lora_rank=max_lora_rank,
        **limits,
    )
    return Server(profile, config)


def build_pool(servers: Sequence[Server], priorities: set[int]) -> tuple[Pool, list[Pod]]:
    """The pool these servers belong to, still without pods, and their pods in order. There is an InferenceObjective
    ``priority-N`` for each priority N."""
    pool = Pool("lab")
    spec = parse_resource(
        {
            "apiVersion": "inference.networking.k8s.io/v1",
            "kind": "InferencePool",
            "metadata": {"name": "lab", "namespace": "default"},
            "spec": {
                "selector": {"matchLabels": _LABELS},
                "targetPorts": [{"number": 8000}],
                "endpointPickerRef": {"name": "lab", "port": {"number": 9002}},
            },
        },
        _ORIGIN,
        None,
    )
    assert isinstance(spec, InferencePool)
    pool.set_pool(spec)
    for priority in sorted(priorities):
        objective = parse_resource(
            {
                "apiVersion": "inference.networking.x-k8s.io/v1alpha2",
                "kind": "InferenceObjective",
                "metadata": {"name": f"priority-{priority}", "namespace": "default"},
                "spec": {"poolRef": {"name": "lab"}, "priority": priority},
            },
            _ORIGIN,
            None,
        )
        assert isinstance(objective, InferenceObjective)
        pool.put(objective)
    return pool, [_pod(number, one) for number, one in enumerate(servers)]


def _pod(number: int, one: Server) -> Pod:
    pod = parse_resource(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"server-{number}",
                "namespace": "default",
                "labels": {**one.labels, **_LABELS},
            },
            "status": {
                "podIP": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        },
        _ORIGIN,
        None,
    )
    assert isinstance(pod, Pod)
    return pod


def build_engine(one: Server, block_tokens: int, adapters: Sequence[str]) -> Engine:
    """An engine that caches prefixes in blocks of the trace and knows these adapters. Raises ValueError where its
    blocks do not make up the trace's."""
    size = one.config.block_size
    if block_tokens % size:
        raise ValueError(
            f"block_size: {size} tokens do not divide the trace's blocks of {block_tokens};"
            f" --block-tokens must be a multiple of {size}"
        )
    engine = Engine(one.profile, replace(one.config, hash_blocks=block_tokens // size), each_batch=False)
    if adapters and not one.config.max_loras:
        raise ValueError(f"max_loras: 0, but the trace asks for {len(adapters)} adapters; raise it")
    for name in adapters:
        engine.adapters.load(name)
    return engine


def read(engine: Engine, *, of_batch: bool = False) -> Readings:
    """What a scrape of this engine says, as its metrics would; the queue as of now, or ``of_batch`` that is running."""
    stats = engine.stats()
    config = engine.config
    return Readings(
        waiting=engine.waiting_at_batch() if of_batch else stats.waiting,
        running=stats.running,
        kv_usage=stats.kv_usage,
        block_size=config.block_size,
        kv_blocks=config.num_gpu_blocks,
        lora_active=frozenset(stats.adapters_in_flight) if config.max_loras else None,
        lora_max=config.max_loras if config.max_loras else None,
    )
