"""What choosing costs, by policy, endpoints and length of the prompt: ``python -m bench.decisions``.

In process, CPU time of ``arrive`` and ``finish``, with nobody watching. Each prompt is one of 64 conversations whose
first half is common to all and whose last words are new in every request, so that the prefix index has something to
find, to refresh and to add each time. Where it says "new", the first words are new, and so nothing of it is known.
Every policy, pool and length takes its turn in each round; figures are medians over the rounds. Then the memory of the
prefix index, as `tracemalloc` counts it, for a million blocks.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import tracemalloc
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from rich.table import Table

from bench import amounts, report
from bench.budgets import Budget, ratio
from bench.decision import loaded_pool
from signalbox.director import Arrival, Director, Routed, Rules, Ticket, guide_rules, policy_rules
from signalbox.pool import Pool
from signalbox.scheduling import load_policy
from signalbox.scheduling.prefix import PrefixIndex, PromptBlocks

Rows = list[tuple[str, ...]]
"""Of a table, as text."""

RESULTS = Path(__file__).with_name("results")
ENDPOINTS = (8, 64, 256, 1024)
PROMPTS = {1_000: "1 KB", 10_000: "10 KB", 100_000: "100 KB"}
BUDGETED = "four scorers and prefix"
BLOCKS = 1_000_000

_HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
POLICIES: Mapping[str, str | None] = {
    "guide: the filter tree": None,
    "default: queue, KV, prefix": "",
    BUDGETED: f"""{_HEAD}plugins:
- {{type: queue-scorer}}
- {{type: kv-cache-utilization-scorer}}
- {{type: prefix-cache-scorer}}
- {{type: no-hit-lru-scorer}}
- {{type: lora-affinity-scorer}}
""",
    "least-cost": f"{_HEAD}plugins: [{{type: least-cost-scorer}}]\n",
}
"""EndpointPickerConfigs; ``None`` is what a picker without one does."""

_CONVERSATIONS = 64
_UNDER_WAY = 32
_MESSAGE = 2_000  # bytes
_NEW = 64  # bytes at the end of a prompt
_ROW_BLOCKS = 100  # to a prompt of the memory figure: 6,400 tokens


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU microseconds of one decision and its end."""

    policy: str
    endpoints: int
    prompt_bytes: int
    us: float
    new: bool = False
    """Whether no prompt began like another."""


@dataclass(frozen=True, slots=True)
class IndexMemory:
    """Bytes that the prefix index takes for so many blocks, each held by so many endpoints."""

    blocks: int
    holders: int
    measured: int
    reported: int
    """What the index itself says, in its metric."""


class Prompts:
    """Chat requests of one length, never twice the same: in their last words, or in their first where they are new."""

    def __init__(self, size: int, rng: random.Random, *, new: bool = False) -> None:
        half = size // 2
        common = _text(half, rng)
        place = 0 if new else -1
        self._bodies = [_chat(common + _text(max(0, size - half - _NEW), rng), place) for _ in range(_CONVERSATIONS)]
        self._asked = 0

    def take(self, count: int) -> list[Arrival]:
        """The next ``count`` requests."""
        taken = []
        for number in range(self._asked, self._asked + count):
            body = self._bodies[number % _CONVERSATIONS] % (b"%0*d" % (_NEW, number))
            taken.append(Arrival("/v1/chat/completions", body, "bench"))
        self._asked += count
        return taken


class Subject:
    """A director over a pool of its own, with requests under way."""

    def __init__(self, endpoints: int, policy: str) -> None:
        pool = loaded_pool(endpoints)
        self._director = Director(pool, _rules(POLICIES[policy], pool), rng=random.Random(7))
        self._open: deque[Ticket] = deque()
        self._now = 0.0

    def batch_us(self, arrivals: Sequence[Arrival]) -> float:
        """Decide all; CPU microseconds for each."""
        director, waiting = self._director, self._open
        started = time.process_time()
        for arrival in arrivals:
            self._now += 0.001
            outcome = director.arrive(arrival, self._now)
            assert isinstance(outcome, Routed)
            assert outcome.ticket is not None
            waiting.append(outcome.ticket)
            if len(waiting) > _UNDER_WAY:
                director.finish(waiting.popleft(), self._now, outcome="complete", status=200)
        return (time.process_time() - started) / len(arrivals) * 1e6


def measure_costs(rounds: int, batch: int, endpoints: Sequence[int] = ENDPOINTS) -> list[Cost]:
    """Measure every policy, pool and length of prompt in turn, ``rounds`` times after a first one that warms up."""
    rng = random.Random(5)
    prompts = {(size, False): Prompts(size, rng) for size in PROMPTS}
    prompts[max(PROMPTS), True] = Prompts(max(PROMPTS), rng, new=True)
    # New prompts push known ones out of an index, so they have pickers of their own.
    subjects = {
        (policy, count, new): Subject(count, policy)
        for new in (False, True)
        for count in endpoints
        for policy in POLICIES
    }
    times: dict[tuple[str, int, int, bool], list[float]] = {}
    for _ in range(rounds + 1):
        for (size, new), source in prompts.items():
            arrivals = source.take(batch)
            for (policy, count, own), subject in subjects.items():
                if own == new:
                    times.setdefault((policy, count, size, new), []).append(subject.batch_us(arrivals))
    return [Cost(policy, count, size, median(us[1:]), new) for (policy, count, size, new), us in times.items()]


def measure_index(blocks: int = BLOCKS, holders: Sequence[int] = (1, 8)) -> list[IndexMemory]:
    """Fill an index with prompts of a hundred blocks, each on ``holders`` endpoints, and count what it allocated."""
    found = []
    for count in holders:
        tracemalloc.start()
        index = PrefixIndex()
        for row in range(8):
            index.set_capacity(row, blocks * index.block_size)
        before = tracemalloc.get_traced_memory()[0]
        dice = random.Random(1)
        for number in range(blocks // _ROW_BLOCKS):
            chain = [dice.getrandbits(64) for _ in range(_ROW_BLOCKS)]
            for other in range(count):
                index.insert(PromptBlocks((chain,), 0, index.block_size), (number + other) % 8)
        measured = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        found.append(IndexMemory(index.blocks, count, measured, index.memory_bytes))
    return found


def decision_budgets(costs: Sequence[Cost]) -> list[Budget]:
    """Judge the budgets of the design that are about decisions: each ratio in the place where it is the worst."""
    us = {(cost.policy, cost.endpoints, cost.prompt_bytes): cost.us for cost in costs if not cost.new}
    most = max(cost.endpoints for cost in costs)
    worst = max(PROMPTS, key=lambda size: us[BUDGETED, most, size] / us[BUDGETED, 8, size])
    what = f"decision, {BUDGETED}, {PROMPTS[worst]}: {most:,} endpoints / 8"
    return [ratio(what, us[BUDGETED, most, worst], us[BUDGETED, 8, worst], 3.0)]


def as_json(costs: Sequence[Cost], index: Sequence[IndexMemory], budgets: Sequence[Budget]) -> dict[str, Any]:
    """Everything measured, as plain data."""
    return {
        "costs": [{**asdict(cost), "us": round(cost.us, 1)} for cost in costs],
        "index": [asdict(one) for one in index],
        "budgets": [asdict(budget) for budget in budgets],
    }


def cost_rows(costs: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], Rows]:
    """Columns and rows of a table from the costs of `as_json`: microseconds, and how the largest pool compares."""
    counts = sorted({cost["endpoints"] for cost in costs})
    us = {
        (cost["policy"], cost["prompt_bytes"], cost.get("new", False), cost["endpoints"]): cost["us"] for cost in costs
    }
    rows: Rows = []
    for policy, size, new in dict.fromkeys(key[:3] for key in us):
        of = [us[policy, size, new, count] for count in counts]
        rows.append(
            (f"{policy}, {PROMPTS[size]}{', new' * new}", *[f"{one:.0f}" for one in of], f"{of[-1] / of[0]:.2f}x")
        )
    return ("us by endpoints", *[f"{count:,}" for count in counts], f"{counts[-1]:,} / {counts[0]}"), rows


def index_rows(index: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], Rows]:
    """Columns and rows of a table from the index of `as_json`."""
    rows: Rows = [
        (
            f"{one['blocks']:,} blocks, each held by {one['holders']} of 8 endpoints",
            f"{one['measured'] / 1e6:.0f} MB",
            f"{one['reported'] / 1e6:.0f} MB",
        )
        for one in index
    ]
    return ("prefix index", "measured", "as the index reports it"), rows


def tables(content: Mapping[str, Any]) -> list[Table]:
    """What `as_json` holds, to be shown."""
    return [
        report.plain_table("one decision and its end, CPU us", *cost_rows(content["costs"])),
        report.plain_table("memory of the prefix index", *index_rows(content["index"])),
    ]


def measure_quickly() -> tuple[list[Cost], list[IndexMemory]]:
    """Every kind of figure, none of them good."""
    return measure_costs(1, 20, (8, 64)), measure_index(BLOCKS // 100)


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.decisions", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run: every kind of figure, none of them good")
    parser.add_argument(
        "--requests", type=amounts.count, metavar="N", help="only decide so often, for perf stat to count"
    )
    parser.add_argument("--policy", choices=[name.partition(":")[0] for name in POLICIES], help="by this policy")
    parser.add_argument("--bytes", type=amounts.count, default=1_000, help="about prompts of this length")
    parser.add_argument("--new", action="store_true", help="of which none begins like another")
    options = parser.parse_args()
    if options.requests:
        policy = next(name for name in POLICIES if name.startswith(options.policy or ""))
        prompts = Prompts(options.bytes, random.Random(5), new=options.new)
        Subject(8, policy).batch_us(prompts.take(options.requests))
        return 0
    quick = options.quick
    costs, index = measure_quickly() if quick else (measure_costs(15, 100), measure_index())
    budgets = decision_budgets(costs)
    content = as_json(costs, index, budgets)
    report.show([*tables(content), report.budgets_table(budgets)])
    if not quick:
        print(report.write_result(RESULTS, "decisions", "python -m bench.decisions", content).name)
    return 0


def _rules(policy: str | None, pool: Pool) -> Rules:
    return guide_rules() if policy is None else policy_rules(load_policy(policy, name="bench"), pool)


def _text(size: int, rng: random.Random) -> str:
    return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz    ", k=size))


def _chat(text: str, place: int) -> bytes:
    """A conversation with a place for `_NEW` bytes: before its first message (0) or behind its last (-1)."""
    parts = [text[start : start + _MESSAGE] for start in range(0, len(text), _MESSAGE)]
    messages = [{"role": ("user", "assistant")[number % 2], "content": part} for number, part in enumerate(parts)]
    if place == 0:
        messages[0]["content"] = "%b" + messages[0]["content"]
    else:
        messages[-1]["content"] += "%b"
    return msgspec.json.encode({"model": "food-review", "messages": messages, "max_tokens": 100})


if __name__ == "__main__":
    sys.exit(main())
