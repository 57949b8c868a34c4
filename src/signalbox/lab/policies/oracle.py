"""The oracle: `least-cost-scorer`'s own cost, with the truth in place of every estimate. An upper bound for it: what is
left between the two is what better knowledge could win, and not another formula.

It reads from the engines how many prompt tokens are still to be computed, what each cache holds for this prompt, how
fast each GPU is, and from the trace how long this answer will be.
"""

from __future__ import annotations

import numpy as np

from signalbox.engine import Engine
from signalbox.lab.policies.peer import Peer, RowTable, contender, lowest
from signalbox.lab.stage import Stage, TruePrefixes
from signalbox.pool import Floats, Rows
from signalbox.scheduling import Cycle
from signalbox.scheduling.least_cost import Outlook, Weights, pressure, room, seconds, stall_price
from signalbox.scheduling.scorers.least_cost import LeastCostParameters

_HOLD_SECONDS = 5.0
_GAIN = 0.05


class Oracle(Peer):
    """Knows the servers' insides and this answer's length; not the requests to come."""

    def __init__(self, stage: Stage) -> None:
        parameters = LeastCostParameters()
        self._weights = Weights(parameters.later_weight, parameters.decode_weight)
        self._parameters = parameters
        self._pace = RowTable()
        self._interval, self._last = 1.0, 0.0
        self._stage = stage

    def choose(self, cycle: Cycle, rows: Rows) -> int:
        """Return the row of the least true cost."""
        request = self._stage.request
        assert request is not None
        trace = request.trace
        self._interval = max(self._interval + 0.02 * (cycle.now - self._last - self._interval), 1e-4)
        self._last = cycle.now
        engines = [self._stage.engines[int(row)] for row in rows]
        stats = [engine.stats() for engine in engines]
        uncached = np.array([float(trace.prompt_tokens - engine.cached_tokens(request.asked)) for engine in engines])
        requests = np.array([float(one.running + one.waiting) for one in stats])
        context: Floats = cycle.columns.context_tokens[rows]
        ahead = np.array([float(engine.uncomputed_tokens()) for engine in engines])
        steps = [
            engine.profile.step_time(int(min(tokens, engine.config.max_num_batched_tokens)), one.running, int(held))
            for engine, one, tokens, held in zip(engines, stats, ahead, context, strict=True)
        ]
        outlook = Outlook(
            uncached,
            ahead,
            requests,
            context,
            np.array([_seconds_per_token(engine) for engine in engines]),
            self._stall(rows, steps),
            1.0 / (self._interval * len(rows)),
            float(trace.output_tokens),
        )
        cost = seconds(outlook, self._weights)
        tokens = float(trace.prompt_tokens + trace.output_tokens)
        cost += room(context, tokens, cycle.columns.kv_per_token[rows], np.full(len(rows), _HOLD_SECONDS))
        if request.asked.adapter is not None:
            cost += np.array([_adapter_wait(engine, request.asked.adapter) for engine in engines])
        return lowest(cycle, rows, cost)

    def _stall(self, rows: Rows, steps: list[float]) -> Floats:
        """The pace of answers is the mean of the steps the engines take, as seen at the decisions of late."""
        before = self._pace.of(rows)
        for row, step, mean in zip(rows.tolist(), steps, before.tolist(), strict=True):
            self._pace.put(row, mean + _GAIN * (step - mean))
        target = self._parameters.token_target_ms / 1000.0
        pace = self._pace.of(rows)
        return stall_price(pace, target, self._parameters.crowding_weight * pressure(float(pace.max()), target))


def _seconds_per_token(engine: Engine) -> float:
    profile, config = engine.profile, engine.config
    return profile.prefill_seconds + profile.step_seconds / config.max_num_batched_tokens


def _adapter_wait(engine: Engine, adapter: str) -> float:
    adapters, profile = engine.adapters, engine.profile
    if adapter in adapters.resident:
        load = 0.0
    else:
        load = profile.lora_disk_seconds(engine.config.max_lora_rank)
    return load if adapters.admissible(adapter) else load + _HOLD_SECONDS


ORACLE = contender("oracle", Oracle, TruePrefixes)
