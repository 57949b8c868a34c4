from dataclasses import fields

import pytest

from signalbox.engine import DEFAULT_PROFILE, PROFILES
from signalbox.engine.profile import _H100, _LLAMA_70B, _TP_ACTIVATIONS, _profile

A100, H100 = PROFILES[DEFAULT_PROFILE], PROFILES["llama-3.1-8b-h100"]


def test_one_sequence_on_an_a100_decodes_as_fast_as_was_measured() -> None:
    # 75 tokens/s were measured on the 40 GB card; the 80 GB card has 2,039 / 1,555 of its bandwidth.
    assert 1 / A100.step_time(0, 1, 1100) == pytest.approx(75 * 2039 / 1555, rel=0.05)


def test_one_sequence_on_an_h100_decodes_as_fast_as_was_measured() -> None:
    assert H100.step_time(0, 1, 200) == pytest.approx(6.48e-3, rel=0.05)


def test_prefill_on_an_a100_does_about_ten_thousand_tokens_a_second() -> None:
    assert 8192 / (A100.step_time(8192, 0, 8192) - A100.step_seconds) == pytest.approx(9700, rel=0.05)


def test_the_kv_cache_is_what_memory_leaves() -> None:
    blocks = A100.num_gpu_blocks(16, 0.9)
    assert 27_000 < blocks < 29_000  # vLLM reports about 27,000 for this pair
    assert A100.num_gpu_blocks(32, 0.9) == blocks // 2
    assert A100.num_gpu_blocks(16, 0.9, max_loras=2, max_lora_rank=8) < blocks
    assert A100.num_gpu_blocks(16, 0.1) == 0


def test_two_gpus_are_faster_and_hold_more() -> None:
    two = A100.tensor_parallel(2)
    assert two.step_seconds == pytest.approx(A100.step_seconds / 2)
    assert two.kv_read_seconds == pytest.approx(A100.kv_read_seconds / 2)
    assert two.prefill_seconds == pytest.approx(A100.prefill_seconds / 1.6)
    assert two.num_gpu_blocks(16, 0.9) > 2 * A100.num_gpu_blocks(16, 0.9)  # the weights are there once
    assert A100.tensor_parallel(1) is A100


def test_a_split_profile_and_a_built_in_one_of_several_gpus_follow_one_rule() -> None:
    built_in = PROFILES["llama-3.1-70b-4xh100"]
    single = _profile("one", _LLAMA_70B, _H100, 1, _TP_ACTIVATIONS)
    split = single.tensor_parallel(4)
    for field in fields(built_in):
        if field.name != "name":
            assert getattr(split, field.name) == pytest.approx(getattr(built_in, field.name)), field.name


@pytest.mark.parametrize(("name", "tokens"), [("llama-3.1-70b-4xh100", 461_376), ("qwen3-32b-2xh100", 307_328)])
def test_the_kv_cache_of_several_gpus_is_what_was_published(name: str, tokens: int) -> None:
    assert PROFILES[name].num_gpu_blocks(16, 0.9) * 16 == pytest.approx(tokens, rel=0.001)


@pytest.mark.parametrize(
    ("name", "servers", "requests", "context", "published"),
    [("llama-3.1-70b-4xh100", 4, 1000, 9500, 9295), ("qwen3-32b-2xh100", 8, 1500, 7700, 10_497)],
)
def test_a_burst_of_cached_prompts_decodes_about_as_fast_as_was_published(
    name: str, servers: int, requests: int, context: int, published: float
) -> None:
    """All run at once and read their whole context for each token; the published figure counts the end of the burst
    too, when batches are no longer full, so a full batch must be faster, but not by half."""
    batch = min(requests / servers, 256)
    rate = servers * batch / PROFILES[name].step_time(0, round(batch), round(batch * context))
    assert published < rate < 1.6 * published
