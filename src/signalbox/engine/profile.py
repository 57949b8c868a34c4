"""How long a step takes on a given model and GPU, and how much KV cache fits.

The built-in numbers come from public figures, each named where it is used:

- GPU data sheets: A100 80 GB SXM 2,039 GB/s and 312 dense BF16 TFLOP/s; H100 80 GB SXM 3,350 GB/s and 989 TFLOP/s.
- Llama-3.1-8B: 8.03e9 parameters; 32 layers, 8 KV heads of 128 values (model card), BF16.
- Decode reaches 77 % of the memory roofline: https://johnmusgrave.com/p/vllm-throughput-latency-sweep-on measures about
  75 tokens/s at batch 1 on an A100 40 GB (1,555 GB/s) with vLLM 0.23, which is 77 % of what its bandwidth allows.
- H100, batch 1: 6.48 ms per token, 13.98 ms to the first token (https://yobitelcomm.github.io/bench/recipes/concurrency-sweep/).

The time per decoding sequence (scheduling and sampling) and the 50 % model FLOP utilisation of prefill are estimates.
"""

from dataclasses import dataclass, replace

GIB = 1024**3
_PARAMETERS = 8.03e9
_WEIGHT_BYTES = 2 * _PARAMETERS  # BF16
_KV_BYTES = 2 * 32 * 8 * 128 * 2  # K and V, layers, KV heads, head size, BF16: 128 KiB a token
# Rank-1 adapter on every linear layer: 32 layers times the sum of each matrix's two sides, BF16.
_LORA_BYTES_PER_RANK = 32 * (8192 + 2 * 5120 + 8192 + 3 * 18432) * 2
_ROOFLINE = 0.77
_PREFILL_MFU = 0.5


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
        """The profile of the model split over ``ranks`` GPUs: times shrink by 80 % of ideal, memory grows."""
        if ranks == 1:
            return self
        gain = 0.8 * ranks  # an estimate of what all-reduces over NVLink leave
        return replace(
            self,
            step_seconds=self.step_seconds / gain,
            prefill_seconds=self.prefill_seconds / gain,
            kv_read_seconds=self.kv_read_seconds / gain,
            gpu_bytes=self.gpu_bytes * ranks,
            activation_bytes=self.activation_bytes * ranks,
        )


def _llama_8b(name: str, bandwidth: float, flops: float) -> EngineProfile:
    effective = bandwidth * _ROOFLINE
    return EngineProfile(
        name=name,
        step_seconds=_WEIGHT_BYTES / effective,  # every step reads all weights once
        prefill_seconds=2 * _PARAMETERS / (flops * _PREFILL_MFU),  # 2 FLOP per parameter and token
        decode_seconds=30e-6,
        kv_read_seconds=_KV_BYTES / effective,
        gpu_bytes=80 * GIB,
        weight_bytes=_WEIGHT_BYTES,
        activation_bytes=1.5 * GIB,
        kv_bytes_per_token=_KV_BYTES,
        max_model_len=131072,
        lora_bytes_per_rank=_LORA_BYTES_PER_RANK,
        disk_bytes_per_second=1e9,
        host_to_gpu_bytes_per_second=20e9,
    )


DEFAULT_PROFILE = "llama-3.1-8b-a100"
PROFILES = {
    profile.name: profile
    for profile in (
        _llama_8b(DEFAULT_PROFILE, bandwidth=2.039e12, flops=312e12),
        _llama_8b("llama-3.1-8b-h100", bandwidth=3.35e12, flops=989e12),
    )
}
