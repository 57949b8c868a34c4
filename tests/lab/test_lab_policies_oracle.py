"""What the oracle reads from the engines is true."""

from __future__ import annotations

from signalbox.engine import PROFILES, Engine, EngineConfig, Request


def engine() -> Engine:
    return Engine(PROFILES["llama-3.1-8b-h100"], EngineConfig(1000, max_num_batched_tokens=256))


def test_an_idle_engine_has_nothing_to_compute() -> None:
    assert engine().uncomputed_tokens() == 0


def test_what_no_batch_has_taken_is_to_be_computed() -> None:
    one = engine()
    one.submit(Request("a", 600, 5), 0.0)
    one.submit(Request("b", 100, 5), 0.0)
    assert one.uncomputed_tokens() == 700
    one.step(0.0)  # the first batch has begun: 256 tokens of the first prompt
    assert one.uncomputed_tokens() == 700 - 256
    one.step(1e9)
    assert one.uncomputed_tokens() == 0


def test_what_the_cache_holds_need_not_be_computed() -> None:
    one = engine()
    one.submit(Request("a", 64, 5, block_hashes=(1, 2, 3, 4)), 0.0)
    one.step(1e9)
    one.submit(Request("b", 80, 5, block_hashes=(1, 2, 9, 8, 7)), 1e9)
    assert one.uncomputed_tokens() == 80 - 32
