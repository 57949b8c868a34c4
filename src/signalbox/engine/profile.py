"""How long a step takes on a given model and GPU, and how much KV cache fits.

The built-in numbers come from public figures, each named where it is used:

- GPU data sheets: A100 80 GB SXM 2,039 GB/s and 312 dense BF16 TFLOP/s; H100 80 GB SXM 3,350 GB/s and 989 TFLOP/s.
- Model cards, all BF16 with 8 KV heads of 128 values: Llama-3.1-8B has 8.03e9 parameters in 32 layers, Llama-3.1-70B
  70.6e9 in 80, Qwen3-32B 32.8e9 in 64.
- Decode reaches 77 % of the memory roofline: https://johnmusgrave.com/p/vllm-throughput-latency-sweep-on measures about
  75 tokens/s at batch 1 on an A100 40 GB (1,555 GB/s) with vLLM 0.23, which is 77 % of what its bandwidth allows.
- H100, batch 1: 6.48 ms per token, 13.98 ms to the first token (https://yobitelcomm.github.io/bench/recipes/concurrency-sweep/).
- Llama-3.1-70B on 4 H100 keeps 461,376 tokens of KV cache, and 4 such servers give 9,295 output tokens/s in bursts of
  1,000 requests that find their prompts cached (llm-d-kv-cache, benchmarking/37-capacity).
- Qwen3-32B on 2 H100 keeps 307,328 tokens, and 8 such servers give 10,497 output tokens/s the same way
  (llm-d-kv-cache, benchmarking/73-capacity). Both sizes leave 4.2 GB of each GPU for activations, in steps of 8,192
  tokens.

The time per decoding sequence (scheduling and sampling) and the 50 % model FLOP utilisation of prefill are estimates;
several GPUs keep 80 % of that, which brings the two comparisons above closest (docs/lab.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

GIB = 1024**3
_ROOFLINE = 0.77
_PREFILL_MFU = 0.5
_TP_PREFILL = 0.8  # what all-reduces over NVLink leave
_TP_ACTIVATIONS = 4.2e9


@dataclass(frozen=True, slots=True)
class EngineProfile:
    """Costs of one model on one GPU. Times in seconds, sizes in bytes.

    A step lasts ``step_seconds + prefill_seconds * P + decode_seconds * D + kv_read_seconds * K`` for P prompt tokens,
    D decoding sequences and K tokens of KV cache that attention reads.
    """

    name: str
    step_seconds: float
    prefill_seconds: float
    decode_seconds: float
    kv_read_seconds: float
    gpu_bytes: float
    weight_bytes: float
    activation_bytes: float
    kv_bytes_per_token: int
    max_model_len: int
    lora_bytes_per_rank: float
    disk_bytes_per_second: float
    host_to_gpu_bytes_per_second: float
    max_num_batched_tokens: int = 2048
    """vLLM's default for an API server on this GPU: 2,048, or 8,192 from 70 GiB of memory on unless it is an A100."""

    def step_time(self, prefill_tokens: int, decoding: int, kv_tokens: int) -> float:
        """Seconds one step takes for this many prompt tokens, decoding sequences and KV tokens read."""
        return (
            self.step_seconds
            + self.prefill_seconds * prefill_tokens
            + self.decode_seconds * decoding
            + self.kv_read_seconds * kv_tokens
        )

    def num_gpu_blocks(
        self, block_size: int, gpu_memory_utilization: float, max_loras: int = 0, max_lora_rank: int = 0
    ) -> int:
        """KV blocks of ``block_size`` tokens that fit beside weights, activations and LoRA slots; at least 0."""
        free = self.gpu_bytes * gpu_memory_utilization - self.weight_bytes - self.activation_bytes
        free -= max_loras * max_lora_rank * self.lora_bytes_per_rank
        return max(0, int(free // (self.kv_bytes_per_token * block_size)))

    def lora_disk_seconds(self, rank: int) -> float:
        """Seconds to read an adapter of this rank from disk into host memory."""
        return rank * self.lora_bytes_per_rank / self.disk_bytes_per_second

    def lora_copy_seconds(self, rank: int) -> float:
        """Seconds to copy an adapter of this rank from host memory into a GPU slot."""
        return rank * self.lora_bytes_per_rank / self.host_to_gpu_bytes_per_second

    def tensor_parallel(self, ranks: int) -> "EngineProfile":
        """The profile of the model split over ``ranks`` GPUs, by the rule of the built-in ones that have several: they
        have the memory and the bandwidth of all of them, and 80 % of their arithmetic for prefill."""
        if ranks == 1:
            return self
        return replace(
            self,
            step_seconds=self.step_seconds / ranks,
            prefill_seconds=self.prefill_seconds / (ranks * _TP_PREFILL),
            kv_read_seconds=self.kv_read_seconds / ranks,
            gpu_bytes=self.gpu_bytes * ranks,
            activation_bytes=self.activation_bytes * ranks,
        )


@dataclass(frozen=True, slots=True)
class _Model:
    parameters: float
    layers: int
    linear: Sequence[tuple[int, int]]
    """Rows and columns of the matrices of one layer."""

    @property
    def weight_bytes(self) -> float:
        """All weights in BF16."""
        return 2 * self.parameters

    @property
    def kv_bytes(self) -> int:
        """KV cache of a token: keys and values of 8 heads of 128 values in every layer, BF16."""
        return 2 * self.layers * 8 * 128 * 2

    @property
    def lora_bytes_per_rank(self) -> float:
        """A rank-1 adapter on every linear layer: the two sides of each matrix, BF16."""
        return self.layers * sum(rows + columns for rows, columns in self.linear) * 2


def _layer(hidden: int, queries: int, feed_forward: int) -> tuple[tuple[int, int], ...]:
    """The matrices of a layer: queries, keys, values, their output, and gate, up and down."""
    attention = ((hidden, queries), (hidden, 1024), (hidden, 1024), (queries, hidden))
    return (*attention, (hidden, feed_forward), (hidden, feed_forward), (feed_forward, hidden))


_LLAMA_8B = _Model(8.03e9, 32, _layer(4096, 4096, 14336))
_LLAMA_70B = _Model(70.6e9, 80, _layer(8192, 8192, 28672))
_QWEN_32B = _Model(32.8e9, 64, _layer(5120, 8192, 25600))


@dataclass(frozen=True, slots=True)
class _GPU:
    bandwidth: float
    """Bytes a second."""
    flops: float
    """Dense BF16 operations a second."""
    max_num_batched_tokens: int


_A100 = _GPU(2.039e12, 312e12, 2048)
_H100 = _GPU(3.35e12, 989e12, 8192)


def _profile(
    name: str, model: _Model, gpu: _GPU, gpus: int = 1, activation_bytes: float = 1.5 * GIB, max_model_len: int = 131072
) -> EngineProfile:
    effective = gpus * gpu.bandwidth * _ROOFLINE
    utilisation = _PREFILL_MFU if gpus == 1 else _PREFILL_MFU * _TP_PREFILL
    return EngineProfile(
        name=name,
        step_seconds=model.weight_bytes / effective,  # every step reads all weights once
        prefill_seconds=2 * model.parameters / (gpus * gpu.flops * utilisation),  # 2 FLOP per parameter and token
        decode_seconds=30e-6,
        kv_read_seconds=model.kv_bytes / effective,
        gpu_bytes=gpus * 80 * GIB,
        weight_bytes=model.weight_bytes,
        activation_bytes=gpus * activation_bytes,
        kv_bytes_per_token=model.kv_bytes,
        max_model_len=max_model_len,
        lora_bytes_per_rank=model.lora_bytes_per_rank,
        disk_bytes_per_second=1e9,
        host_to_gpu_bytes_per_second=20e9,
        max_num_batched_tokens=gpu.max_num_batched_tokens,
    )


DEFAULT_PROFILE = "llama-3.1-8b-a100"
PROFILES = {
    profile.name: profile
    for profile in (
        _profile(DEFAULT_PROFILE, _LLAMA_8B, _A100),
        _profile("llama-3.1-8b-h100", _LLAMA_8B, _H100),
        _profile("llama-3.1-70b-4xh100", _LLAMA_70B, _H100, 4, _TP_ACTIVATIONS),
        _profile("qwen3-32b-2xh100", _QWEN_32B, _H100, 2, _TP_ACTIVATIONS, max_model_len=40960),
    )
}
