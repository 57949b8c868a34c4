"""The contest by scenario: ours against each peer over all its variants, rather than against whoever was best in each.

Of fifteen peers that are as good as each other one is always a little ahead by chance, another one in each variant.
Whether a policy is better than ours is told by what it does in all variants of a scenario.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from signalbox.lab.contest_results import Cell, is_peer, mean, of


@dataclass(frozen=True, slots=True)
class Nearest:
    """The peer that comes nearest to ours in one figure, and the geometric mean over the variants of our figure over
    its."""

    policy: str
    ratio: float


@dataclass(frozen=True, slots=True)
class Standing:
    """Ours in one scenario."""

    scenario: str
    variants: int
    rate: Nearest
    """Above 1 where ours bears more than every peer."""
    ttft: Nearest
    """Below 1 where the first tokens of ours come earlier than every peer's."""


def standings(results: Sequence[Cell], ours: str) -> list[Standing]:
    """Every scenario in which ours has met peers, in the order in which they come. A peer counts where it took part in
    every variant that ours did."""
    found = []
    for scenario in dict.fromkeys(one.scenario for cell in results for one in cell):
        met = [cell for cell in results if cell and cell[0].scenario == scenario and of(cell, ours)]
        rates, waits = [], []
        for peer in dict.fromkeys(one.policy for cell in met for one in cell):
            if not is_peer(peer, ours):
                continue
            pairs = [(own, other) for cell in met if (own := of(cell, ours)) and (other := of(cell, peer))]
            if len(pairs) == len(met):
                bears = [own.bears / other.bears for own, other in pairs]
                rates.append(Nearest(peer, mean(bears)))
                waits.append(Nearest(peer, mean([own.ttft_p90 / other.ttft_p90 for own, other in pairs])))
        if rates:
            rate = min(rates, key=lambda one: one.ratio)
            found.append(Standing(scenario, len(met), rate, max(waits, key=lambda one: one.ratio)))
    return found


def scenario_table(results: Sequence[Cell], ours: str) -> str:
    """Return the standings as a Markdown table and what they say in words."""
    every = standings(results, ours)
    lines = [
        f"| scenario | variants | rate of {ours} over the nearest peer's | TTFT p90 over the nearest peer's |",
        "|---|---:|---:|---:|",
    ]
    for one in every:
        lines.append(
            f"| {one.scenario} | {one.variants} | {one.rate.ratio:.3f} ({one.rate.policy}) "
            f"| {one.ttft.ratio:.3f} ({one.ttft.policy}) |"
        )
    more = sum(one.rate.ratio > 1.0 for one in every)
    sooner = sum(one.ttft.ratio < 1.0 for one in every)
    lines += [
        "",
        f"Over the variants of a scenario `{ours}` bears more than each of the peers in {more} of {len(every)} "
        f"scenarios, and its first tokens come earlier than each one's in {sooner}.",
    ]
    return "\n".join(lines)
