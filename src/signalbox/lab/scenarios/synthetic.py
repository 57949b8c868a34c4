"""Traffic nobody recorded: shared prefixes and adapters of uneven popularity, lengths exponential around a mean."""

from __future__ import annotations

import random

from signalbox.lab.workload import TraceRequest, Workload, chain, in_order

BLOCK = 256
"""Tokens to a block."""


def shared_prefixes(
    *, groups: int, zipf: float, prefix: int, own: int, answer: int, rate: float, seconds: float, seed: int
) -> Workload:
    """Prompts that begin with one of ``groups`` prefixes, the k-th as popular as ``k ** -zipf``, and go on with ``own``
    tokens on average that nobody else has. Lengths in tokens, ``rate`` in requests a second."""
    rng = random.Random(seed)
    weights = [(group + 1) ** -zipf for group in range(groups)]
    requests = []
    at = 0.0
    while at < seconds:
        at += rng.expovariate(rate)
        group = rng.choices(range(groups), weights)[0]
        length = prefix + 1 + int(rng.expovariate(1 / own))
        blocks = [group * 65_536 + place for place in range(prefix // BLOCK)]
        blocks += [rng.getrandbits(62) | 1 << 62 for _ in range(-(-length // BLOCK) - len(blocks))]
        requests.append(TraceRequest(at, length, 1 + int(rng.expovariate(1 / answer)), chain(blocks)))
    return Workload(f"{groups} shared prefixes", in_order(requests), BLOCK)


def many_adapters(
    *, adapters: int, zipf: float, prompt: int, answer: int, rate: float, seconds: float, seed: int
) -> Workload:
    """Requests for one of ``adapters`` each, the k-th as popular as ``k ** -zipf``; no prompt shares anything."""
    rng = random.Random(seed)
    requests = []
    at = 0.0
    while at < seconds:
        at += rng.expovariate(rate)
        requests.append(TraceRequest(at, 1 + int(rng.expovariate(1 / prompt)), 1 + int(rng.expovariate(1 / answer))))
    return Workload("adapters", in_order(requests), BLOCK).with_adapters(adapters, zipf, seed)


def burst(calm: Workload, factor: float = 10.0, begins: float = 0.5, share: float = 0.25) -> Workload:
    """The same requests, of which a ``share`` arrives ``factor`` times as fast from the point ``begins`` on (both as
    parts of all requests)."""
    first = int(len(calm.requests) * begins)
    last = min(first + int(len(calm.requests) * share), len(calm.requests) - 1)
    start, end = calm.requests[first].at, calm.requests[last].at
    saved = (end - start) * (1 - 1 / factor)
    requests = []
    for number, request in enumerate(calm.requests):
        at = request.at
        if first <= number < last:
            at = start + (at - start) / factor
        elif number >= last:
            at -= saved
        requests.append(
            TraceRequest(
                at,
                request.prompt_tokens,
                request.output_tokens,
                request.blocks,
                request.model,
                request.adapter,
                request.priority,
            )
        )
    return Workload(f"{calm.name}, burst of {factor:g}x", in_order(requests), calm.block_tokens)
