"""What came of the contest: one figure each for every policy in every scenario, as tables and as what they say."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

OURS = "least-cost"
OURS_PRECISE = "least-cost-precise"
"""The same policy, which knows besides what the engines' caches hold."""
OURS_UNHELD = "least-cost-scorer"
"""Its choice of an endpoint alone: nobody is held back."""
OUT_OF_CONTEST = "oracle"


@dataclass(frozen=True, slots=True)
class Result:
    """One policy in one scenario. Rates in requests a second, times in seconds."""

    scenario: str
    variant: int
    policy: str
    rate: float
    """The highest sustained; 0 where it was not searched for any more: see `floor`."""
    floor: float
    """The lowest rate that was tried."""
    ttft_p90: float
    tpot_p90: float
    hit_rate: float
    refused: int
    """These four at 80 % of the best rate of the scenario, and so is what follows."""
    ttft_p99: float | None = None
    sheddable: float | None = None
    """The share of sheddable requests that were answered; ``None`` where there are none."""

    @property
    def bears(self) -> float:
        """The highest rate; of a policy that is out of the running, the lowest that was tried, which is more than it
        bears."""
        return self.rate or self.floor


Cell = Sequence[Result]
"""All policies in one variant of one scenario, the highest rate first."""


def cells(results: Iterable[Result]) -> list[list[Result]]:
    """Results by scenario and variant, in the order in which they come."""
    return [list(group) for _, group in groupby(results, key=lambda one: (one.scenario, one.variant))]


def of(cell: Cell, policy: str) -> Result | None:
    """The result of one policy."""
    return next((one for one in cell if one.policy == policy), None)


def is_peer(policy: str, ours: str) -> bool:
    """Whether ``ours`` is measured against it: it is neither the same nor the same with other knowledge or in part, nor
    out of the contest."""
    return policy not in (OURS, OURS_PRECISE, OURS_UNHELD, OUT_OF_CONTEST, ours)


def rate(one: Result) -> str:
    """The highest rate, or the one that it is below."""
    return f"{one.rate:.2f}" if one.rate else f"below {one.floor:.2f}"


def table(cell: Cell) -> str:
    """Return one scenario's results as a Markdown table."""
    lines = [
        "| policy | highest rate, req/s | TTFT p90 at 80 %, s | TTFT p99, s | TPOT p90, ms | prefix hits, % |",
        "|---|---|---|---|---|---|",
    ]
    sheddable = any(one.sheddable is not None for one in cell)
    if sheddable:
        lines = [f"{lines[0]} sheddable answered, % |", f"{lines[1]}---|"]
    for one in cell:
        tail = "" if one.ttft_p99 is None else f"{one.ttft_p99:.2f}"
        waits = f"{one.ttft_p90:.3f} | {tail} | {one.tpot_p90 * 1e3:.1f}"
        last = f" {(one.sheddable or 0.0) * 1e2:.0f} |" if sheddable else ""
        lines.append(f"| {one.policy} | {rate(one)} | {waits} | {one.hit_rate * 1e2:.1f} |{last}")
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Match:
    """Ours against the best peer of each figure in one cell."""

    own: Result
    fastest: Result
    """Who bears the highest rate."""
    soonest: Result
    """Who has the lowest TTFT p90."""
    oracle: Result | None

    @property
    def rates(self) -> float:
        """Our rate over the best peer's; where the peer bears less than was tried, over the least that was."""
        return self.own.rate / self.fastest.bears

    @property
    def waits(self) -> float:
        """Our TTFT p90 over the best peer's."""
        return self.own.ttft_p90 / self.soonest.ttft_p90


def matches(results: Sequence[Cell], ours: str = OURS) -> list[Match]:
    """Every cell in which ours meets a peer."""
    found = []
    for cell in results:
        own = of(cell, ours)
        peers = [one for one in cell if is_peer(one.policy, ours)]
        if own is not None and peers:
            fastest = max(peers, key=lambda one: one.rate)
            soonest = min(peers, key=lambda one: one.ttft_p90)
            found.append(Match(own, fastest, soonest, of(cell, OUT_OF_CONTEST)))
    return found


def summary(results: Sequence[Cell], ours: str = OURS) -> str:
    """Return, for each scenario, ours against the best peer in each figure, as a Markdown table; with our share of the
    oracle's rate where that has been run anywhere."""
    every = matches(results, ours)
    columns = ["scenario", "variant", f"rate of {ours}", "best peer's", "ratio"]
    columns += [f"TTFT p90 of {ours}", "best peer's", "ratio"]
    with_oracle = any(one.oracle is not None for one in every)
    if with_oracle:
        columns.append("share of the oracle's rate")
    lines = [f"| {' | '.join(columns)} |", f"|---|---|{'---:|' * (len(columns) - 2)}"]
    for one in every:
        more = "" if one.fastest.rate or not one.own.rate else "> "
        rates = f"{rate(one.own)} | {rate(one.fastest)} ({one.fastest.policy}) | {more}{one.rates:.3f}"
        waits = f"{one.own.ttft_p90:.3f} | {one.soonest.ttft_p90:.3f} ({one.soonest.policy}) | {one.waits:.3f}"
        line = f"| {one.own.scenario} | {one.own.variant} | {rates} | {waits} |"
        if with_oracle:
            known = one.oracle is not None and one.oracle.rate
            line += f" {one.own.rate / one.oracle.rate:.3f} |" if one.oracle is not None and known else "  |"
        lines.append(line)
    return "\n".join(lines)


def verdict(results: Sequence[Cell], ours: str = OURS) -> str:
    """Return in words how many cells ours has won, and which it has not. A search that finds the same rate for both has
    found no difference."""
    every = matches(results, ours)
    won = sum(one.rates > 1.0 for one in every)
    level = sum(one.rates == 1.0 for one in every)
    sooner = sum(one.waits < 1.0 for one in every)
    lines = [
        f"`{ours}` bears more than every peer in {won} of {len(every)} lines and as much as the best in {level}; it "
        f"has the earliest first tokens in {sooner}. Where it is not ahead:",
        "",
    ]
    for one in every:
        place = f"- **{one.own.scenario} {one.own.variant}**:"
        if one.rates < 1.0:
            lines.append(f"{place} rate {rate(one.own)}, {one.fastest.policy} {rate(one.fastest)} ({one.rates:.3f}).")
        if one.waits >= 1.0:
            lines.append(
                f"{place} TTFT p90 {one.own.ttft_p90:.3f} s, {one.soonest.policy} {one.soonest.ttft_p90:.3f} s "
                f"({one.waits:.3f})."
            )
    return "\n".join(lines)


def against(results: Sequence[Cell], other: str, ours: str = OURS) -> str:
    """Return ours against one other policy, scenario by scenario, as a Markdown table with a line of means, and what
    it says in words."""
    lines = [
        f"| scenario | variant | rate of {ours} | of {other} | ratio | TTFT p90 of {ours} | of {other} | ratio |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    rates, waits = [], []
    for cell in results:
        own, their = of(cell, ours), of(cell, other)
        if own is None or their is None:
            continue
        rates.append(own.bears / their.bears)
        waits.append(own.ttft_p90 / their.ttft_p90)
        more = "" if their.rate or not own.rate else "> "
        lines.append(
            f"| {own.scenario} | {own.variant} | {rate(own)} | {rate(their)} | {more}{rates[-1]:.3f} "
            f"| {own.ttft_p90:.3f} | {their.ttft_p90:.3f} | {waits[-1]:.3f} |"
        )
    lines.append(f"| geometric mean | | | | {mean(rates):.3f} | | | {mean(waits):.3f} |")
    level, sooner = sum(ratio >= 1.0 for ratio in rates), sum(ratio < 1.0 for ratio in waits)
    lines += [
        "",
        f"`{ours}` bears at least as much as `{other}` in {level} of {len(rates)} lines and has earlier first tokens "
        f"in {sooner}; at worst the ratio of rates is {min(rates, default=1.0):.3f}, and that of TTFT "
        f"{max(waits, default=1.0):.3f}.",
    ]
    return "\n".join(lines)


def side_by_side(results: Sequence[Cell], columns: dict[str, str]) -> str:
    """Return rate and TTFT p90 of policies in columns, headed by what ``columns`` calls them, as a Markdown table with
    a line of geometric means over the first one's."""

    def means(figure: Callable[[Result], float]) -> dict[str, float]:
        first = next(iter(columns))
        ratios: dict[str, list[float]] = {policy: [] for policy in columns}
        for cell in results:
            base = of(cell, first)
            for policy in columns:
                one = of(cell, policy)
                if base is not None and one is not None:
                    ratios[policy].append(figure(one) / figure(base))
        return {policy: mean(values) for policy, values in ratios.items() if values}

    lines = [
        f"| scenario | variant | {' | '.join(columns.values())} |",
        f"|---|---|{'---|' * len(columns)}",
    ]
    for cell in results:
        found = [of(cell, policy) for policy in columns]
        entries = ["" if one is None else f"{rate(one)}, {one.ttft_p90:.3f}" for one in found]
        lines.append(f"| {cell[0].scenario} | {cell[0].variant} | {' | '.join(entries)} |")
    rates, waits = means(lambda one: one.bears), means(lambda one: one.ttft_p90)
    entries = [f"{rates[policy]:.3f}, {waits[policy]:.3f}" if policy in rates else "" for policy in columns]
    lines.append(f"| geometric mean of ratios | | {' | '.join(entries)} |")
    return "\n".join(lines)


def mean(ratios: Sequence[float]) -> float:
    """Geometric; NaN of none."""
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else math.nan
