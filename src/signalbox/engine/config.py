"""The limits of one engine: vLLM's own arguments of the same names."""

from dataclasses import dataclass


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

    def __post_init__(self) -> None:
        for name in ("num_gpu_blocks", "block_size", "max_num_seqs", "max_num_batched_tokens", "max_model_len"):
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
