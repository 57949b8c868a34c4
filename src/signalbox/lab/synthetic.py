"""Workloads nobody recorded: prompts that share their beginnings, arriving as fast as one likes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from signalbox.lab.workload import TraceRequest, Workload, chain, in_order


@dataclass(frozen=True, slots=True)
class Load:
    """Arrivals for a while: requests a second, for so many seconds."""

    rate: float
    seconds: float

    @property
    def requests(self) -> int:
        """How many arrive."""
        return round(self.rate * self.seconds)


@dataclass(frozen=True, slots=True)
class SharedPrefix:
    """Groups of prompts with one beginning, such as a customer's system prompt and its users' questions. Lengths in
    tokens."""

    groups: int
    prompts: int
    """In each group, all different."""
    system: int
    question: int
    output: int
    block_tokens: int = 80

    def workload(
        self,
        name: str,
        loads: Sequence[Load],
        *,
        poisson: bool = True,
        pause: float = 0.0,
        unique: bool = False,
        seed: int = 0,
    ) -> Workload:
        """Requests that take turns through all prompts in a shuffled order, in stages with a ``pause`` between them.
        Arrivals are a Poisson process, or evenly spaced. With ``unique`` no question is asked twice."""
        rng = random.Random(seed)
        order = [(group, prompt) for group in range(self.groups) for prompt in range(self.prompts)]
        rng.shuffle(order)
        known: dict[tuple[int, int], tuple[int, ...]] = {}
        requests: list[TraceRequest] = []
        start = 0.0
        for load in loads:
            at = start
            for number in range(load.requests):
                group, prompt = order[len(requests) % len(order)]
                if unique:
                    prompt = self.prompts + len(requests)
                blocks = known.get((group, prompt))
                if blocks is None:
                    blocks = known[group, prompt] = self._blocks(group, prompt)
                at = at + rng.expovariate(load.rate) if poisson else start + number / load.rate
                requests.append(
                    TraceRequest(at, self.system + self.question, self.output, blocks, max_tokens=self.output)
                )
            start += load.seconds + pause
        return Workload(name, in_order(requests), self.block_tokens)

    def _blocks(self, group: int, prompt: int) -> tuple[int, ...]:
        size = self.block_tokens
        count = -(-(self.system + self.question) // size)
        shared = self.system // size
        return chain(
            (group << 32) + place if place < shared else ((group << 32) + place) ^ ((prompt + 1) << 64 - 20)
            for place in range(count)
        )
