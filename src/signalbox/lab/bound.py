"""A rate that no policy can exceed, clairvoyant or not: the engines' arithmetic, with every assumption in its favour.

An engine's step costs so much for itself, for each prompt token, each decoding sequence and each token of KV cache it
reads (`EngineProfile.step_time`). What a request needs of these at least follows from its lengths and from which
prompts came before it. To keep the SLO it must have its first token, and then its last, by a known moment. So within
any stretch of time the servers must be able to do all the work that has both arrived and come due in it, and from the
speed on at which they cannot, nobody keeps the SLO.

In everybody's favour: work is divisible and moves between servers at no cost, each to the one best at it; every batch
is full; memory never runs out; an adapter is always in its slot; a prompt is cached everywhere, for ever, as soon as it
has arrived; and one request in ten that may miss its first token costs nothing at all, another one in ten that may miss
its pace costs no decoding: those that cost most in that stretch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from signalbox.engine import EngineConfig, EngineProfile
from signalbox.lab.outcome import Floats
from signalbox.lab.servers import Server
from signalbox.lab.slo import Slo
from signalbox.lab.workload import Workload

Fleet = Callable[[float], Sequence[Server]]
"""The servers, for a replay of so many seconds."""

_STARTS = 10
_ENDS = 30
_MIXES = 5
_HALVINGS = 14
_FASTEST = 1e4
_MAY_MISS = 10  # one in so many


def highest_speed(workload: Workload, fleet: Fleet, slo: Slo) -> float:
    """Return a speed, as a factor of the workload's own, beyond which no policy keeps the SLO; 0 where none does at any
    speed, infinity where nothing speaks against any. The true limit lies below, by an unknown distance."""
    work = _Work(workload)
    if not len(work.at):
        return float("inf")

    def excluded(speed: float) -> bool:
        return _overloaded(work, speed, fleet(workload.seconds / speed), slo)

    low, high = 1.0 / 64, 1.0
    if excluded(low):
        return 0.0
    while not excluded(high):
        low, high = high, high * 2.0
        if high > _FASTEST:
            return float("inf")
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if excluded(middle) else (middle, high)
    return high


class _Work:
    """What each request that counts needs at least: one array for each kind, in the order of arrival."""

    def __init__(self, workload: Workload) -> None:
        counts = [request.priority >= 0 for request in workload.requests]
        if not any(counts):
            counts = [True] * len(counts)
        unit, seen = workload.block_tokens, set[tuple[str, int]]()
        uncached = []
        for request in workload.requests:
            cached = 0
            for block in request.blocks[: (request.prompt_tokens - 1) // unit]:
                if (request.adapter, block) not in seen:
                    break
                cached += unit
            seen.update((request.adapter, block) for block in request.blocks)
            uncached.append(request.prompt_tokens - cached)
        kept = np.array(counts, bool)
        prompts = np.array([request.prompt_tokens for request in workload.requests], float)[kept]
        self.at: Floats = np.array([request.at for request in workload.requests], float)[kept]
        self.prefill: Floats = np.array(uncached, float)[kept]
        """Prompt tokens no earlier prompt can spare it."""
        self.prefill_reads: Floats = prompts
        """Tokens of KV cache: the batch that completes a prompt reads all of it."""
        self.decode: Floats = np.array([request.output_tokens - 1 for request in workload.requests], float)[kept]
        self.decode_reads: Floats = self.decode * prompts + self.decode * (self.decode + 1) / 2
        """The n-th token after the first reads the prompt and n tokens."""
        self.may_miss = (len(self.at) - 1) // _MAY_MISS


def _overloaded(work: _Work, speed: float, servers: Sequence[Server], slo: Slo) -> bool:
    """Whether some stretch of time holds more work than the servers can do in it."""
    at = work.at / speed
    first_due = at + slo.ttft
    last_due = first_due + slo.tpot * work.decode
    starts = np.unique(np.linspace(0, len(at) - 1, _STARTS).astype(int)[:-1]) if len(at) > 1 else np.array([0])
    ends = np.quantile(np.concatenate([first_due, last_due]), np.linspace(0.0, 1.0, _ENDS))
    for full_of_prompts in (True, False):
        costs = _costs([(one.profile, one.config) for one in servers], full_of_prompts=full_of_prompts)
        for prices in _prices(costs):
            by_server = (prices / np.where(costs > 0, costs, np.inf)).max(axis=1)  # value a second
            until_first = prices[0] * work.prefill + prices[2] * work.prefill_reads
            until_last = prices[1] * work.decode + prices[2] * work.decode_reads
            for start in starts.tolist():
                for end in ends.tolist():
                    before = np.where(first_due[start:] <= end, until_first[start:], 0.0)
                    after = np.where(last_due[start:] <= end, until_last[start:], 0.0)
                    needed = before.sum() + after.sum() - _most(before + after, work) - _most(after, work)
                    there = np.array([max(end - max(float(at[start]), one.joins), 0.0) for one in servers])
                    if needed > float(there @ by_server) * (1 + 1e-9):
                        return True
    return False


def _most(values: Floats, work: _Work) -> float:
    """The sum of the largest that may be missed."""
    count = min(work.may_miss, len(values))
    return float(np.partition(values, len(values) - count)[len(values) - count :].sum()) if count else 0.0


def _costs(servers: Sequence[tuple[EngineProfile, EngineConfig]], *, full_of_prompts: bool) -> Floats:
    """Return the seconds that each server takes for a prompt token, a decoded token and a KV token read; one row for
    each. The cost of steps is shared out over tokens in one of two ways, each of which is too little: a step takes at
    most ``max_num_batched_tokens`` of both kinds, and at most ``max_num_seqs`` decoded ones."""
    rows = []
    for profile, config in servers:
        shared = profile.step_seconds / config.max_num_batched_tokens if full_of_prompts else 0.0
        decoded = shared if full_of_prompts else profile.step_seconds / config.max_num_seqs
        rows.append([profile.prefill_seconds + shared, profile.decode_seconds + decoded, profile.kv_read_seconds])
    return np.array(rows)


def _prices(costs: Floats) -> list[Floats]:
    """Prices for the three kinds of work under which to compare what is needed with what can be done. Any prices give a
    bound; between servers that are good at different things some give a tighter one."""
    kinds = np.unique(costs, axis=0)
    if len(kinds) == 1:
        return [kinds[0]]
    shares = np.linspace(0.0, 1.0, _MIXES)
    return [share * kinds[0] + (1.0 - share) * kinds[-1] for share in shares]
