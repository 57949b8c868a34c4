"""Which metrics each inference engine reports its load under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from signalbox.signals.exposition import beginnings_of
from signalbox.signals.spec import MetricSpec, parse_spec

ENGINE_LABELS = ("inference.networking.k8s.io/engine-type", "llm-d.ai/engine-type")
"""Pod labels that name the engine; the first one present decides."""


@dataclass(frozen=True)
class MetricNames:
    """The families of one engine. A tuple holds alternatives: the first one present on a page is read.

    ``waiting``, ``running`` count requests; ``kv_usage`` is a fraction. ``lora_info`` is a series whose labels list
    adapters and whose value is a time; ``lora_max`` is a plain gauge; ``lora_loaded`` has one series an adapter and
    level. ``cache_info`` carries the block size and the number of blocks in the labels ``block_size_label`` and
    ``kv_blocks_label``; ``block_size`` and ``kv_blocks`` are plain gauges for engines that have those instead.
    ``offload_tokens`` is how many tokens host memory can keep.
    """

    engine: str
    waiting: tuple[MetricSpec, ...] = ()
    running: tuple[MetricSpec, ...] = ()
    kv_usage: tuple[MetricSpec, ...] = ()
    lora_info: tuple[MetricSpec, ...] = ()
    lora_max: tuple[MetricSpec, ...] = ()
    lora_loaded: tuple[MetricSpec, ...] = ()
    cache_info: tuple[MetricSpec, ...] = ()
    block_size_label: str = "block_size"
    kv_blocks_label: str = "num_gpu_blocks"
    block_size: tuple[MetricSpec, ...] = ()
    kv_blocks: tuple[MetricSpec, ...] = ()
    offload_tokens: tuple[MetricSpec, ...] = ()

    @cached_property
    def families(self) -> frozenset[bytes]:
        """Every family that is read, as it stands on a page."""
        fields = (
            self.waiting, self.running, self.kv_usage, self.lora_info, self.lora_max, self.lora_loaded,
            self.cache_info, self.block_size, self.kv_blocks, self.offload_tokens,
        )  # fmt: skip
        return frozenset(spec.name.encode() for specs in fields for spec in specs)

    @cached_property
    def beginnings(self) -> tuple[bytes, ...]:
        """How the lines of those families begin."""
        return beginnings_of(self.families)


def _named(*names: str) -> tuple[MetricSpec, ...]:
    return tuple(spec for name in names if (spec := parse_spec(name)))


VLLM = MetricNames(
    engine="vllm",
    waiting=_named("vllm:num_requests_waiting"),
    running=_named("vllm:num_requests_running"),
    # Renamed in vLLM 0.9; the old name left around 0.12.
    kv_usage=_named("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
    lora_info=_named("vllm:lora_requests_info"),
    lora_max=_named("vllm:max_gpu_lora_adapters"),
    lora_loaded=_named("vllm:lora_adapter_loaded"),
    cache_info=_named("vllm:cache_config_info"),
)
SGLANG = MetricNames(
    engine="sglang",
    waiting=_named("sglang:num_queue_reqs"),
    running=_named("sglang:num_running_reqs"),
    kv_usage=_named("sglang:token_usage"),
    cache_info=_named("sglang:cache_config_info"),
    block_size_label="page_size",
    kv_blocks_label="num_pages",
    block_size=_named("sglang:page_size"),
    kv_blocks=_named("sglang:num_pages"),
    offload_tokens=_named("sglang:hicache_host_total_tokens"),
)
TRTLLM_SERVE = MetricNames(
    engine="trtllm-serve",
    waiting=_named("trtllm_num_requests_waiting"),
    running=_named("trtllm_num_requests_running"),
    kv_usage=_named("trtllm_kv_cache_utilization"),
    block_size=_named("trtllm_kv_cache_tokens_per_block"),
    kv_blocks=_named("trtllm_kv_cache_max_blocks"),
)
TRITON_TENSORRT_LLM = MetricNames(
    engine="triton-tensorrt-llm",
    waiting=_named("nv_trt_llm_request_metrics{request_type=waiting}"),
    running=_named("nv_trt_llm_request_metrics{request_type=scheduled}"),
    kv_usage=_named("nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=fraction}"),
    block_size=_named("nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=tokens_per}"),
    kv_blocks=_named("nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=max}"),
)
ENGINES: Mapping[str, MetricNames] = {
    names.engine: names for names in (VLLM, SGLANG, TRTLLM_SERVE, TRITON_TENSORRT_LLM)
}


def engine_for(labels: Mapping[str, str], engines: Mapping[str, MetricNames] = ENGINES) -> MetricNames:
    """The names for a pod with these labels; vLLM's where no label names an engine we know."""
    named = next((labels[label] for label in ENGINE_LABELS if label in labels), VLLM.engine)
    return engines.get(named) or engines.get(VLLM.engine, VLLM)


def with_overrides(
    names: MetricNames,
    *,
    waiting: str | None = None,
    kv_usage: str | None = None,
    lora_info: str | None = None,
) -> MetricNames:
    """Replace families by what a user wrote; ``None`` keeps the engine's own, an empty text switches the signal off.

    The arguments are the reference's flags ``totalQueuedRequestsMetric``, ``kvCacheUsagePercentageMetric`` and
    ``loraInfoMetric``. Raises ``InvalidMetricSpec``, which names the flag.
    """

    def chosen(text: str | None, flag: str, own: tuple[MetricSpec, ...]) -> tuple[MetricSpec, ...]:
        if text is None:
            return own
        spec = parse_spec(text, flag)
        return (spec,) if spec else ()

    return replace(
        names,
        waiting=chosen(waiting, "totalQueuedRequestsMetric", names.waiting),
        kv_usage=chosen(kv_usage, "kvCacheUsagePercentageMetric", names.kv_usage),
        lora_info=chosen(lora_info, "loraInfoMetric", names.lora_info),
    )
