"""The oracle: `least-cost-scorer` itself, with the truth in place of its estimates. What is left between the two is
what better knowledge could win, and not another formula.

It reads from the engines when the batch in progress ends, how many prompt tokens no batch has taken yet, what each
cache holds for this prompt, how fast each GPU is and which adapters are where, and from the trace how long this answer
will be. How answers of others come along it learns from their ends, as `least-cost-scorer` does.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np

from signalbox.director import Rules, policy_rules
from signalbox.engine import Engine
from signalbox.lab.policies.ours import LEAST_COST_CONFIGURATION
from signalbox.lab.stage import Contender, Stage
from signalbox.pool import Floats, Rows
from signalbox.scheduling import Cycle, load_policy
from signalbox.scheduling.faults import Faults
from signalbox.scheduling.least_cost import Outlook
from signalbox.scheduling.policy import Policy, Surroundings
from signalbox.scheduling.scorers import LeastCostScorer


class Oracle(LeastCostScorer):
    """Knows the servers' insides and this answer's length; not the requests to come."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(None, "oracle")
        self._stage = stage

    def costs(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return the cost by the truth, the rest of the batch in progress added: nothing starts before its end."""
        ends = [engine.batch_end for engine in self._engines(rows)]
        rest = np.array([0.0 if end is None else max(end - cycle.now, 0.0) for end in ends])
        cost: Floats = super().costs(cycle, rows) + rest
        return cost

    def outlook(self, cycle: Cycle, rows: Rows) -> Outlook:
        """Return how the endpoints are.

        A prompt that waits will be in the cache before a later one is computed, which no engine shows yet; where
        prompts wait, the index may know more.
        """
        request = self._stage.request
        assert request is not None
        believed = super().outlook(cycle, rows)
        engines = self._engines(rows)
        stats = [engine.stats() for engine in engines]
        prompt = request.trace.prompt_tokens
        uncached = np.array([float(prompt - engine.cached_tokens(request.asked)) for engine in engines])
        queued = np.array([float(engine.uncomputed_tokens()) for engine in engines])
        uncached = np.where(queued > 0, np.minimum(uncached, believed.uncached), uncached)
        speeds = np.array([_seconds_per_token(engine) for engine in engines])
        return msgspec.structs.replace(
            believed,
            uncached=uncached,
            ahead=np.minimum(queued, believed.ahead),
            requests=np.array([float(one.running + one.waiting) for one in stats]),
            seconds_per_token=speeds,
            stall=self.stall(speeds * uncached, rows, cycle.columns.size),
            answer_tokens=float(request.trace.output_tokens),
        )

    def adapter_wait(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return the time to bring the weights from where they are, and the usual for a slot where all are taken."""
        hold = self._answers.hold(cycle.columns.size)[rows]
        engines = self._engines(rows)
        waits = [_adapter_wait(engine, cycle.target, float(usual)) for engine, usual in zip(engines, hold, strict=True)]
        return np.array(waits)

    def _engines(self, rows: Rows) -> list[Engine]:
        return [self._stage.engines[row] for row in rows.tolist()]


def _seconds_per_token(engine: Engine) -> float:
    profile, config = engine.profile, engine.config
    return profile.prefill_seconds + profile.step_seconds / config.max_num_batched_tokens


def _adapter_wait(engine: Engine, adapter: str, hold: float) -> float:
    """Return seconds; requests for one adapter leave its slot after ``hold``, each."""
    stats, profile, rank = engine.stats(), engine.profile, engine.config.max_lora_rank
    seconds = 0.0
    if adapter not in stats.adapters_resident:
        seconds += profile.lora_copy_seconds(rank)
        if adapter not in stats.adapters_in_host_memory:
            seconds += profile.lora_disk_seconds(rank)
    active = len(stats.adapters_in_flight)
    if adapter not in stats.adapters_in_flight and active >= engine.config.max_loras:
        seconds += hold * max((stats.running + stats.waiting) / active, 1.0)
    return seconds


def _rules(stage: Stage) -> Rules:
    """The rules of `least-cost`, the oracle in its scorer's place."""
    policy, oracle = load_policy(LEAST_COST_CONFIGURATION, name="oracle"), Oracle(stage)
    profiles = {
        name: replace(profile, scorers=[(oracle, weight) for _, weight in profile.scorers])
        for name, profile in policy.profiles.items()
    }
    plugins = tuple(oracle if isinstance(plugin, LeastCostScorer) else plugin for plugin in policy.plugins)
    surroundings = Surroundings(notes=policy.notes, prefix=policy.prefix, parsers=policy.parsers)
    return policy_rules(Policy(policy.handler, profiles, policy.detector, plugins, surroundings, Faults()), stage.pool)


ORACLE = Contender("oracle", _rules)
