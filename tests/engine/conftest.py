from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from signalbox.engine import DEFAULT_PROFILE, PROFILES, Engine, EngineConfig, EngineProfile, Request, chain_hashes

MakeRequest = Callable[..., Request]
MakeEngine = Callable[..., Engine]


@pytest.fixture
def second_steps() -> EngineProfile:
    """Every step takes one second whatever is in it, an adapter four from disk and one more into its slot."""
    return replace(
        PROFILES[DEFAULT_PROFILE],
        step_seconds=1.0,
        prefill_seconds=0.0,
        decode_seconds=0.0,
        kv_read_seconds=0.0,
        lora_bytes_per_rank=4.0,
        disk_bytes_per_second=1.0,
        host_to_gpu_bytes_per_second=4.0,
    )


@pytest.fixture
def make_engine(second_steps: EngineProfile) -> MakeEngine:
    def make(**limits: Any) -> Engine:
        config = EngineConfig(
            num_gpu_blocks=100, block_size=4, max_num_seqs=8, max_num_batched_tokens=64, max_lora_rank=1
        )
        return Engine(second_steps, replace(config, **limits))

    return make


@pytest.fixture
def request_of() -> MakeRequest:
    """A request with real token ids: the prompt counts up from ``first``, the output from 1,000 on."""

    def make(name: str, prompt: int, output: int, first: int = 0, adapter: str | None = None) -> Request:
        tokens = [*range(first, first + prompt), *range(1000, 1000 + output)]
        root = 0 if adapter is None else len(adapter)
        return Request(
            id=name,
            prompt_tokens=prompt,
            output_tokens=output,
            block_hashes=chain_hashes(tokens[:prompt], 4, root),
            adapter=adapter,
            tokens_between=lambda start, stop: tokens[start:stop],
            root=root,
        )

    return make
