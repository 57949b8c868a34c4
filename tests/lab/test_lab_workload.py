from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.lab import TraceRequest, Workload, server
from signalbox.lab.synthetic import Load, SharedPrefix
from signalbox.lab.workload import chain, in_order, mixed


def plain(count: int) -> Workload:
    return Workload("plain", tuple(TraceRequest(float(at), 10, 5) for at in range(count)))


def test_faster_brings_arrivals_together_and_keeps_lengths() -> None:
    workload = plain(11).faster(4.0)
    assert workload.seconds == 2.5
    assert workload.rate == 4.0
    assert {request.prompt_tokens for request in workload.requests} == {10}


def test_a_workload_of_one_request_has_no_rate() -> None:
    assert (plain(1).rate, plain(0).rate, plain(1).seconds) == (0.0, 0.0, 0.0)
    assert len(plain(9).first(4).requests) == 4


def test_adapters_are_spread_by_zipfs_law() -> None:
    workload = plain(6000).with_adapters(3)
    counts = Counter(request.adapter for request in workload.requests)
    assert workload.adapters == ("adapter-0", "adapter-1", "adapter-2")
    shares = [counts[name] / 6000 for name in workload.adapters]
    assert shares == pytest.approx([6 / 11, 3 / 11, 2 / 11], abs=0.02)
    assert workload == plain(6000).with_adapters(3)
    assert workload != plain(6000).with_adapters(3, seed=1)


def test_a_share_becomes_sheddable() -> None:
    priorities = [request.priority for request in plain(4000).with_sheddable(0.25).requests]
    assert set(priorities) == {0, -1}
    assert sum(priorities) == pytest.approx(-1000, abs=90)


def test_requests_are_put_in_order_and_time_counts_from_the_first() -> None:
    late, early = TraceRequest(30.0, 1, 1), TraceRequest(12.5, 2, 2)
    assert [request.at for request in in_order([late, early])] == [0.0, 17.5]
    assert in_order([]) == ()


@given(st.lists(st.integers(0, (1 << 64) - 1), min_size=2, max_size=50, unique=True))
def test_mixing_is_one_to_one(numbers: list[int]) -> None:
    assert len({mixed(number) for number in numbers}) == len(numbers)


@given(st.lists(st.integers(0, 3), max_size=8), st.lists(st.integers(0, 3), max_size=8))
def test_names_are_equal_as_long_as_the_beginnings_are(one: list[int], other: list[int]) -> None:
    for place, (a, b) in enumerate(zip(chain(one), chain(other), strict=False)):
        assert (a == b) == (one[: place + 1] == other[: place + 1])


# -- made-up prompts ------------------------------------------------------------------------------------------------


def test_prompts_of_a_group_share_their_beginning_and_come_around_again() -> None:
    shape = SharedPrefix(groups=3, prompts=2, system=160, question=80, output=9)
    requests = shape.workload("w", [Load(10.0, 1.2)], poisson=False).requests
    assert len(requests) == 12
    assert [request.blocks for request in requests[:6]] == [request.blocks for request in requests[6:]]
    assert len({request.blocks for request in requests}) == 6
    assert len({request.blocks[1] for request in requests}) == 3
    assert [request.at for request in requests[:3]] == pytest.approx([0.0, 0.1, 0.2])
    assert {(request.prompt_tokens, request.output_tokens, request.max_tokens) for request in requests} == {(240, 9, 9)}


def test_stages_follow_each_other_after_a_pause() -> None:
    shape = SharedPrefix(2, 2, 80, 80, 5)
    requests = shape.workload("w", [Load(2.0, 10.0), Load(5.0, 4.0)], poisson=False, pause=100.0).requests
    assert [request.at for request in requests[19:22]] == pytest.approx([9.5, 110.0, 110.2])


def test_poisson_arrivals_keep_the_rate_on_average() -> None:
    workload = SharedPrefix(2, 2, 80, 80, 5).workload("w", [Load(20.0, 200.0)], unique=True)
    assert workload.rate == pytest.approx(20.0, rel=0.05)
    assert len({request.blocks for request in workload.requests}) == 4000


def test_servers_by_name() -> None:
    one = server("llama-3.1-8b-h100", max_loras=2, max_num_seqs=7)
    assert (one.config.max_num_seqs, one.config.max_loras, one.config.max_cpu_loras) == (7, 2, 2)
    assert one.config.max_num_batched_tokens == one.profile.max_num_batched_tokens
    assert one.slowed(3.0).profile.step_time(5, 6, 7) == pytest.approx(3 * one.profile.step_time(5, 6, 7))
    with pytest.raises(ValueError, match=r"'gpt' is unknown; known engines: llama-3\.1-8b-a100"):
        server("gpt")


def test_requests_of_one_moment_are_spread_over_the_usual_step() -> None:
    moments = [0.0] * 5 + [3.0] * 5 + [6.0] + [9.0] * 5 + [99.0]
    workload = Workload("steps", tuple(TraceRequest(at, number + 1, 1) for number, at in enumerate(moments)))
    spread = workload.spread(seed=3)
    first = moments[0]
    assert len({request.at for request in spread.requests}) == len(moments)
    offset = min(request.at for request in workload.spread(seed=3).requests)
    assert offset == first == 0.0
    by_length = {request.prompt_tokens: request.at for request in spread.requests}
    shift = 99.0 - by_length[len(moments)]  # time counts from the first arrival
    assert all(moment <= by_length[n + 1] + shift < moment + 3.0 for n, moment in enumerate(moments))
    assert "15 requests share a moment" in spread.notes[-1]
    for limit, count in ((7, 7), (11, 10), (16, 15), (17, 15)):  # the 11th has its moment for itself
        some = workload.spread(seed=3, limit=limit)
        assert some.requests == spread.requests[:limit]
        assert f"{count} requests share a moment" in some.notes[-1]


def test_nothing_is_said_where_none_of_the_requests_kept_were_scattered() -> None:
    workload = Workload("late", tuple(TraceRequest(at, 1, 1) for at in (0.0, 3.0, 6.0, 6.0)))
    some = workload.spread(limit=2)
    assert ([request.at for request in some.requests], some.notes) == ([0.0, 3.0], ())


@pytest.mark.parametrize("moments", [[0.0, 1.0, 2.0], [0.0, 0.0]])
def test_what_has_no_steps_is_left_alone(moments: list[float]) -> None:
    workload = Workload("w", tuple(TraceRequest(at, 1, 1) for at in moments))
    assert workload.spread() == workload


@pytest.mark.parametrize(("share", "streamed"), [(0.0, 200), (0.3, 140), (1.0, 0)])
def test_a_share_of_the_answers_comes_in_one_piece(share: float, streamed: int) -> None:
    made = plain(200).with_unstreamed(share, seed=1)
    assert sum(request.stream for request in made.requests) == pytest.approx(streamed, abs=20)
