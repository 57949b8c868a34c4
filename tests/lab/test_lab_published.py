"""The published comparisons: what they sent, how ours is set against theirs, and a short one of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from signalbox.lab.published import CAPACITY_37, CAPACITY_73, COMPARISONS, Comparison
from signalbox.lab.report.markdown import order_table, repeated_table, verdict_table
from signalbox.lab.synthetic import Load
from signalbox.lab.validation import Repeated, orders, repeat, verdicts


@pytest.mark.parametrize(("comparison", "demand"), [(CAPACITY_37, 0.37), (CAPACITY_73, 0.73)])
def test_prompts_fill_the_caches_as_far_as_the_name_says(comparison: Comparison, demand: float) -> None:
    shape = comparison.prompts
    tokens = shape.groups * (shape.system + (shape.prompts * shape.question if demand > 0.5 else 0))
    caches = sum(server.config.num_gpu_blocks * server.config.block_size for server in comparison.servers)
    assert tokens / caches == pytest.approx(demand, abs=0.02)


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_every_stage_has_a_published_time_for_every_policy(comparison: Comparison) -> None:
    for stated in comparison.stated:
        assert len(stated.stage_ttft_p90) == len(comparison.loads) - 1
    assert {contender.name for contender in comparison.contenders()} == {
        "precise",
        "approximate",
        "load",
        "random",
    }


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_every_prompt_is_sent_about_equally_often(comparison: Comparison) -> None:
    workload = comparison.workload()
    counts = Counter(request.blocks for request in workload.requests)
    assert len(counts) == comparison.prompts.groups * comparison.prompts.prompts
    assert max(counts.values()) - min(counts.values()) <= 1
    assert len(workload.requests) == sum(load.requests for load in comparison.loads)


@pytest.mark.parametrize(
    ("comparison", "loads"),
    [(CAPACITY_37, (Load(10, 25), Load(8, 40))), (CAPACITY_73, (Load(15, 50), Load(25, 20)))],
)
def test_knowing_the_caches_beats_knowing_the_load(comparison: Comparison, loads: tuple[Load, ...]) -> None:
    by_name = {one.stated.policy: one for one in repeat(replace(comparison, loads=loads), 1)}
    assert by_name["precise"].hit_rate > 0.9
    assert by_name["precise"].ttft_p90 < 1.0
    for blind in ("load", "random"):
        assert by_name[blind].hit_rate < 0.6
        assert by_name[blind].ttft_p90 > 3 * by_name["precise"].ttft_p90
        assert by_name[blind].output_rate < by_name["precise"].output_rate


def repeated(rates: tuple[float, ...], times: tuple[float, ...], outside: float = 0.0) -> list[Repeated]:
    """Ours of the first comparison, made up."""
    return [
        Repeated(stated, rate, time, (time,), 0.5, outside)
        for stated, rate, time in zip(CAPACITY_37.stated, rates, times, strict=True)
    ]


def test_ours_is_judged_by_how_policies_stand_to_each_other() -> None:
    theirs = [float(np.mean(stated.stage_ttft_p90)) for stated in CAPACITY_37.stated]
    same = verdicts(repeated((565, 509.6, 301.8, 289.5), tuple(time * 3 for time in theirs)))
    assert [verdict.within for verdict in same] == [True] * 12
    assert same[0].ours == pytest.approx(same[0].theirs)
    off = verdicts(repeated((565, 300, 301.8, 289.5), (theirs[0], theirs[1] * 2.5, theirs[2], theirs[3] / 2.5)))
    assert [verdict.within for verdict in off[:6]] == [False, False, True, True, True, False]


def test_tables_show_theirs_beside_ours() -> None:
    ours = repeated((565, 509.6, 301.8, 289.5), (0.3, 6.0, 70.0, 80.0))
    assert "| precise | 5650 | 565 | 0.275 s |" in repeated_table(ours)
    assert "| precise : load | output tok/s | 1.87 | 1.87 | yes |" in verdict_table(verdicts(ours))


def test_ratios_are_judged_without_the_constant_too() -> None:
    """0.3 s of which 0.25 s were added: the ratio to 6 s is 20 with them, and more than 100 without."""
    judged = verdicts(repeated((565, 509.6, 301.8, 289.5), (0.3, 6.0, 70.0, 80.0), outside=0.25))
    times = next(verdict for verdict in judged if verdict.pair == ("precise", "approximate") and "TTFT" in verdict.what)
    assert (times.ours, times.bare) == pytest.approx((20.0, 115.0))
    assert (times.within, times.bare_within) == (True, False)
    assert "| 20.0 | yes | 115 | **no** |" in verdict_table(judged)


def test_the_order_of_the_policies_is_judged() -> None:
    ours = repeated((565, 570, 301.8, 289.5), (0.3, 6.0, 70.0, 80.0))
    rates, times = orders(ours)
    assert rates[2] == ("approximate", "precise", "load", "random")
    assert times[1] == times[2] == ("precise", "approximate", "load", "random")
    assert "approximate, precise, load, random | **no** |" in order_table([rates])
