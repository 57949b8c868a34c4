from collections.abc import Callable

import pytest

from signalbox.engine import BlockPool, Engine, Request, chain_hashes

MakeEngine = Callable[..., Engine]
MakeRequest = Callable[..., Request]


def test_a_hash_covers_its_block_and_all_before_it() -> None:
    one, other = chain_hashes([1, 2, 3, 4, 5, 6], 2), chain_hashes([9, 2, 3, 4, 5, 6], 2)
    assert len(one) == 3
    assert not set(one) & set(other)
    assert chain_hashes([1, 2, 3, 4, 7, 7], 2)[:2] == one[:2]


def test_only_full_blocks_have_a_hash() -> None:
    assert chain_hashes([1, 2, 3], 4) == []
    assert len(chain_hashes([1, 2, 3, 4, 5], 4)) == 1


def test_another_root_shares_nothing() -> None:
    assert not set(chain_hashes([1, 2, 3, 4], 2)) & set(chain_hashes([1, 2, 3, 4], 2, root=7))


def test_a_repeated_prompt_is_found_but_its_last_token_is_recomputed(
    make_engine: MakeEngine, request_of: MakeRequest
) -> None:
    engine = make_engine()
    engine.submit(request_of("a", 12, 1), 0.0)
    engine.step(10.0)
    again = engine.submit(request_of("b", 12, 1), 10.0)
    engine.step(20.0)
    assert again.cached_tokens == 8  # 12 tokens are cached, the block of the last one is computed again
    longer = engine.submit(request_of("c", 13, 1), 20.0)
    engine.step(30.0)
    assert longer.cached_tokens == 12
    assert (engine.stats().prefix_queries, engine.stats().prefix_hits) == (12 + 12 + 13, 8 + 12)


def test_requests_of_one_batch_share_blocks(make_engine: MakeEngine, request_of: MakeRequest) -> None:
    engine = make_engine()
    engine.submit(request_of("a", 9, 5), 0.0)
    engine.submit(request_of("b", 9, 5), 0.0)
    engine.step(0.0)
    assert engine.stats().live_blocks == 2 + 1 + 1  # two shared, one of their own each


def test_generated_blocks_enter_the_cache_when_full(make_engine: MakeEngine, request_of: MakeRequest) -> None:
    engine = make_engine()
    engine.submit(request_of("a", 6, 7), 0.0)
    engine.step(50.0)
    turn_two = [*range(6), *range(1000, 1007), 5, 6, 7, 8]
    state = engine.submit(
        Request("b", len(turn_two), 1, block_hashes=chain_hashes(turn_two, 4)),
        50.0,
    )
    engine.step(60.0)
    assert state.cached_tokens == 12  # 6 prompt and 6 of 7 generated tokens: the last one's KV was never computed


def test_adapters_do_not_share_blocks_with_the_base_model(make_engine: MakeEngine, request_of: MakeRequest) -> None:
    engine = make_engine(max_loras=1, max_cpu_loras=1)
    engine.load_adapter("tuned", 0.0)
    engine.submit(request_of("a", 12, 1), 10.0)
    engine.step(20.0)
    state = engine.submit(request_of("b", 12, 1, adapter="tuned"), 20.0)
    engine.step(30.0)
    assert state.cached_tokens == 0


def test_without_prefix_caching_nothing_is_found(make_engine: MakeEngine, request_of: MakeRequest) -> None:
    engine = make_engine(prefix_caching=False)
    for at, name in enumerate("ab"):
        engine.submit(request_of(name, 12, 1), 10.0 * at)
        engine.step(10.0 * at + 9)
    assert engine.stats().prefix_hits == 0


def test_tails_are_evicted_before_heads() -> None:
    pool = BlockPool(4)
    assert pool.allocate(4)
    assert pool.publish([1, 2, 3, 4]) == [1, 2, 3, 4]
    pool.release([1, 2, 3, 4], private=0)
    assert pool.allocate(2)
    assert pool.match([1, 2, 3, 4], 4) == (2, 2)


def test_the_least_recently_freed_chain_goes_first() -> None:
    pool = BlockPool(4)
    for chain in ([1, 2], [3, 4]):
        assert pool.allocate(2)
        assert pool.publish(chain) == chain
        pool.release(chain, private=0)
    pool.share([1, 2])
    pool.release([1, 2], private=0)  # used again, so it is the younger one now
    assert pool.allocate(2)
    assert pool.match([1, 2], 2) == (2, 2)
    assert pool.match([3, 4], 2) == (0, 0)


def test_a_block_is_live_until_its_last_holder_lets_go() -> None:
    pool = BlockPool(2)
    assert pool.allocate(1)
    assert pool.publish([7]) == [7]
    pool.share([7])
    pool.release([7], private=0)
    assert (pool.live, pool.idle) == (1, 0)
    pool.release([7], private=0)
    assert (pool.live, pool.idle, pool.free) == (0, 1, 2)


def test_more_than_is_free_cannot_be_allocated() -> None:
    pool = BlockPool(2)
    assert not pool.allocate(3)
    assert (pool.live, pool.free) == (0, 2)


def test_a_second_copy_of_a_cached_block_stays_private() -> None:
    pool = BlockPool(3)
    assert pool.allocate(2)
    assert pool.publish([7]) == [7]
    assert pool.publish([7]) == []
    assert pool.live == 2


def test_a_pool_of_no_blocks_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        BlockPool(0)


def test_the_newest_gives_way_when_decoding_runs_out_of_blocks(
    make_engine: MakeEngine, request_of: MakeRequest
) -> None:
    engine = make_engine(num_gpu_blocks=4)
    old = engine.submit(request_of("old", 7, 9), 0.0)
    new = engine.submit(request_of("new", 7, 9, first=500), 0.0)
    engine.step(50.0)
    assert (old.preemptions, new.preemptions) == (0, 1)
    assert engine.stats().preemptions == 1
    assert old.finished_at == 9.0
    assert new.finished_at is not None
    assert new.finished_at > 9.0
    assert engine.generated(new) == 9
    assert engine.stats().generation_tokens == 18
    assert engine.stats().live_blocks == 0


def test_a_preempted_request_finds_its_own_blocks_again(make_engine: MakeEngine, request_of: MakeRequest) -> None:
    engine = make_engine(num_gpu_blocks=4)
    engine.submit(request_of("old", 7, 2), 0.0)
    new = engine.submit(request_of("new", 8, 3, first=500), 0.0)  # both need a third block for their second token
    result = engine.step(50.0)
    assert new.preemptions == 1
    assert result.batch_tokens == [15, 1, 1, 1]  # one token of prefill is left on resuming: 8 of 9 are cached
    assert (engine.stats().prefix_queries, new.cached_tokens) == (15, 0)  # looked up once per request


def test_waiting_requests_stay_until_blocks_are_free(make_engine: MakeEngine, request_of: MakeRequest) -> None:
    engine = make_engine(num_gpu_blocks=4)
    engine.submit(request_of("a", 12, 2), 0.0)
    state = engine.submit(request_of("b", 8, 1, first=500), 0.0)
    engine.step(1.0)
    assert engine.stats().waiting == 1
    engine.step(50.0)
    assert state.scheduled_at == 2.0
