"""How many answers come within stated times: policies side by side, on two kinds of GPUs.

``python -m signalbox.lab.objectives`` prints the table of docs/predicted-latency.md.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from signalbox.director import Rules, policy_rules
from signalbox.lab.predictions import GPUS, POLICY, WARM_UP, mixed_lengths
from signalbox.lab.replay import replay
from signalbox.lab.servers import Server, server
from signalbox.lab.slo import Slo
from signalbox.lab.stage import Contender, Stage
from signalbox.lab.workload import Workload
from signalbox.pool import Rows
from signalbox.scheduling import Cycle, Decision, Policy, load_policy

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
POLICIES: Mapping[str, str] = {
    "the default scorers": HEAD,
    "`least-cost-scorer`": HEAD + "plugins: [{type: least-cost-scorer}]\n",
    "`latency-scorer`": POLICY,
    "`latency-scorer`, `sloBufferFactor: 0.7`": POLICY.replace("}}", ", sloBufferFactor: 0.7}}"),
    "`latency-scorer`, strategy `most`": POLICY + "  parameters: {headroomSelectionStrategy: most}\n",
}
OBJECTIVE = Slo(ttft=0.3, tpot=0.03)
RATES = (12.0, 20.0, 30.0)
"""Requests a second, to two servers on each kind of GPU."""


class _Asking:
    """A policy all of whose requests ask for the same."""

    def __init__(self, policy: Policy, objective: Slo) -> None:
        self._policy, self._objective = policy, objective

    def schedule(self, cycle: Cycle, rows: Rows) -> Decision | None:
        cycle.slo_ttft, cycle.slo_tpot = self._objective.ttft, self._objective.tpot
        return self._policy.schedule(cycle, rows)


def _rules(text: str, objective: Slo, stage: Stage) -> Rules:
    rules = policy_rules(load_policy(text, name="objectives"), stage.pool)
    assert rules.policy is not None
    return replace(rules, scheduler=_Asking(rules.policy, objective))


def kept(workload: Workload, servers: Sequence[Server], text: str, objective: Slo) -> float:
    """Replay and return the part of the answers, after the warm-up, that kept both objectives; each client asks for
    them. An answer of one token has no time per further one and misses none."""
    outcome = replay(workload, servers, Contender("objectives", partial(_rules, text, objective)))
    counted = np.arange(len(workload.requests)) >= WARM_UP * len(workload.requests)
    in_time = outcome.complete & (outcome.ttft <= objective.ttft) & ~(outcome.tpot > objective.tpot)
    return float(in_time[counted].mean())


def main() -> None:
    """Print the table."""
    servers = [server(GPUS[0])] * 2 + [server(GPUS[1])] * 2
    loads = [mixed_lengths(rate, 300.0) for rate in RATES]
    lines = [
        f"| answers in time, at | {' | '.join([f'{rate:g}/s' for rate in RATES])} |",
        "|---" * (1 + len(RATES)) + "|",
    ]
    for name, text in POLICIES.items():
        shares = [f"{kept(load, servers, text, OBJECTIVE):.1%}" for load in loads]
        lines.append(f"| {name} | {' | '.join(shares)} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
