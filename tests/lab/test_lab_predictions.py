"""Predicted times come true, in virtual time, on two kinds of GPUs at once."""

from __future__ import annotations

import pytest

from signalbox.lab.predictions import GPUS, Accuracy, measure, mixed_lengths
from signalbox.lab.servers import server


@pytest.fixture(scope="module")
def found() -> list[Accuracy]:
    """Two servers, one of each kind, and four minutes of mixed traffic that keep both busy."""
    return measure(mixed_lengths(8.0, 240.0), [server(gpu) for gpu in GPUS])


@pytest.mark.parametrize("number", range(len(GPUS)))
def test_after_the_warm_up_times_lie_within_the_band(found: list[Accuracy], number: int) -> None:
    one = found[number]
    assert one.gpu == GPUS[number]
    assert one.requests > 200, "both kinds were asked"
    assert one.ttft_error < 0.2
    assert one.ttft_within > 0.9
    assert 0.85 < one.ttft_bias < 1.15
    assert one.tpot_error < 0.2
    assert one.tpot_within > 0.95
    assert 0.9 < one.tpot_bias < 1.1


def test_the_two_kinds_are_told_apart(found: list[Accuracy]) -> None:
    fast, slow = found
    assert slow.ttft_p50 > 1.2 * fast.ttft_p50


def test_traffic_is_the_same_for_the_same_seed_and_has_shared_beginnings() -> None:
    one, other = mixed_lengths(5.0, 60.0, seed=3), mixed_lengths(5.0, 60.0, seed=3)
    assert one == other
    assert one != mixed_lengths(5.0, 60.0, seed=4)
    assert all(100 <= request.prompt_tokens <= 8000 and 10 <= request.output_tokens <= 600 for request in one.requests)
    beginnings = [request.blocks[0] for request in one.requests]
    assert len(set(beginnings)) < len(beginnings)
