"""How well times are predicted: replay traffic on two kinds of GPUs and hold each prediction against what came.

``python -m signalbox.lab.predictions`` prints the table of docs/predicted-latency.md.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from signalbox.director import Rules, policy_rules
from signalbox.lab.replay import replay
from signalbox.lab.servers import Server, server
from signalbox.lab.stage import Contender, Stage
from signalbox.lab.workload import TraceRequest, Workload, chain, in_order
from signalbox.pool import Floats, Mask, Rows
from signalbox.scheduling import Cycle, Decision, Policy, load_policy
from signalbox.scheduling.latency import Predicted

POLICY = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: predicted-latency-producer, parameters: {streamingMode: true}}
- type: latency-scorer
"""

GPUS = ("llama-3.1-8b-h100", "llama-3.1-8b-a100")
RATES = (4.0, 20.0, 36.0)
"""Requests a second, to two servers on each kind of GPU."""

WARM_UP = 0.2
"""Part of the requests, from the first on, that do not count."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Predicted against actual, for requests to one kind of server."""

    gpu: str
    requests: int
    ttft_p50: float
    """Actual seconds to the first token, half of the requests take less."""
    ttft_error: float
    """How far predictions are off: the middle of ``|predicted - actual| / actual``."""
    ttft_within: float
    """Part of the requests that take between half and twice what was predicted."""
    ttft_bias: float
    """Mean of predicted over mean of actual."""
    tpot_p50: float
    tpot_error: float
    tpot_within: float
    tpot_bias: float


def mixed_lengths(rate: float, seconds: float, *, seed: int = 0, block_tokens: int = 80) -> Workload:
    """Prompts of 100 to 8,000 tokens and answers of 10 to 600, log-normal around 900 and 120; half of the prompts begin
    with one of 20 texts of 400 tokens."""
    rng = random.Random(seed)
    requests: list[TraceRequest] = []
    at = 0.0
    while at < seconds:
        at += rng.expovariate(rate)
        prompt = round(min(max(rng.lognormvariate(math.log(900), 1.0), 100), 8000))
        output = round(min(max(rng.lognormvariate(math.log(120), 0.8), 10), 600))
        shared = 400 // block_tokens if rng.random() < 0.5 and prompt > 400 else 0
        group = rng.randrange(20)
        own = (len(requests) + 1) << 24
        blocks = chain((group + 1 << 56) + n if n < shared else own + n for n in range(-(-prompt // block_tokens)))
        requests.append(TraceRequest(at, prompt, output, blocks, max_tokens=output))
    return Workload("mixed lengths", in_order(requests), block_tokens)


class _Watching:
    """A policy that notes what was predicted of each request's choice."""

    def __init__(self, policy: Policy, stage: Stage, noted: dict[int, Predicted]) -> None:
        self._policy, self._stage, self._noted = policy, stage, noted

    def schedule(self, cycle: Cycle, rows: Rows) -> Decision | None:
        decision = self._policy.schedule(cycle, rows)
        request = self._stage.request
        if decision is not None and request is not None and cycle.predictions is not None:
            self._noted[int(request.asked.id)] = cycle.predictions.of(decision.rows[0])
        return decision


def _rules(text: str, noted: dict[int, Predicted], stage: Stage) -> Rules:
    rules = policy_rules(load_policy(text, name="predictions"), stage.pool)
    assert rules.policy is not None
    return replace(rules, scheduler=_Watching(rules.policy, stage, noted))


def measure(workload: Workload, servers: Sequence[Server], text: str = POLICY) -> list[Accuracy]:
    """Replay and return the accuracy for each kind of server, in order of first appearance."""
    noted: dict[int, Predicted] = {}
    outcome = replay(workload, servers, Contender("predictions", partial(_rules, text, noted)))
    count = len(workload.requests)
    ttft, tpot = np.full(count, np.nan), np.full(count, np.nan)
    for number, predicted in noted.items():
        ttft[number] = predicted.ttft
        tpot[number] = np.nan if predicted.tpot is None else predicted.tpot
    counted = outcome.complete & (np.arange(count) >= WARM_UP * count)
    kinds = np.array([servers[number].profile.name for number in outcome.server])
    return [
        _accuracy(kind, counted & (kinds == kind), ttft, outcome.ttft, tpot, outcome.tpot)
        for kind in dict.fromkeys(one.profile.name for one in servers)
    ]


def _accuracy(gpu: str, rows: Mask, ttft: Floats, actual_ttft: Floats, tpot: Floats, actual_tpot: Floats) -> Accuracy:
    first = _compare(ttft[rows], actual_ttft[rows])
    answers = rows & np.isfinite(actual_tpot)
    return Accuracy(gpu, int(rows.sum()), *first, *_compare(tpot[answers], actual_tpot[answers]))


def _compare(predicted: Floats, actual: Floats) -> tuple[float, float, float, float]:
    error = np.abs(predicted - actual) / actual
    within = (actual > predicted / 2) & (actual < predicted * 2)
    return (
        float(np.median(actual)),
        float(np.median(error)),
        float(within.mean()),
        float(predicted.mean() / actual.mean()),
    )


def main() -> None:
    """Print the table."""
    servers = [server(GPUS[0])] * 2 + [server(GPUS[1])] * 2
    kinds = "actual p50 | off by | within 2x | bias"
    lines = [f"| requests/s | GPU | requests | TTFT {kinds} | TPOT {kinds} |", "|---" * 11 + "|"]
    for rate in RATES:
        for found in measure(mixed_lengths(rate, 600.0), servers):
            cells = [f"{rate:g}", found.gpu, str(found.requests)]
            cells += [f"{found.ttft_p50 * 1000:.0f} ms", f"{found.ttft_error:.0%}", f"{found.ttft_within:.0%}"]
            cells += [f"{found.ttft_bias:.2f}", f"{found.tpot_p50 * 1000:.1f} ms", f"{found.tpot_error:.0%}"]
            cells += [f"{found.tpot_within:.0%}", f"{found.tpot_bias:.2f}"]
            lines.append(f"| {' | '.join(cells)} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
