"""The limits of one engine: vLLM's own arguments of the same names, and how finely prefixes are told apart."""

from dataclasses import dataclass

_POSITIVE = ("num_gpu_blocks", "block_size", "max_num_seqs", "max_num_batched_tokens", "max_model_len", "hash_blocks")


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Limits of one engine; raises ValueError naming the field for values that cannot work."""

    num_gpu_blocks: int
    block_size: int = 16
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 2048
    max_model_len: int = 131072
    prefix_caching: bool = True
    max_loras: int = 0
    max_cpu_loras: int = 0
    max_lora_rank: int = 16
    hash_blocks: int = 1
    """KV blocks that one hash of the prefix cache stands for. 1 is what engines do; the lab replays traces that name
    prompts in blocks of 512 tokens, and 32 there says the same with a thirtieth of the work. Memory is still taken
    block by block; only caching and eviction go by so many at once."""

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} is not a positive number")
        if self.max_num_batched_tokens < self.max_num_seqs:
            # Every running sequence decodes one token in every step.
            raise ValueError(
                f"max_num_batched_tokens: {self.max_num_batched_tokens} is below max_num_seqs ({self.max_num_seqs}); "
                "raise it or lower max_num_seqs"
            )
        if self.max_loras < 0 or self.max_cpu_loras < self.max_loras:
            raise ValueError(f"max_cpu_loras: {self.max_cpu_loras} is below max_loras ({self.max_loras}); raise it")
