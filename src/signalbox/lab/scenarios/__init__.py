"""The settings in which policies are compared: `python -m signalbox.lab.contest`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from signalbox.lab.scenarios.scenario import A100, H100, Scenario, equal, trace, window
from signalbox.lab.scenarios.synthetic import burst, many_adapters, shared_prefixes
from signalbox.lab.servers import Server, server
from signalbox.lab.workload import Workload

MOONCAKE = "mooncake_conversation.jsonl.gz"
CONVERSATION = "azure_llm_2023_conv.csv.gz"
CODE = "azure_llm_2023_code.csv.gz"

_BEGINS = {
    MOONCAKE: (10, 30, 45, 20, 38, 52, 3, 24, 15, 33, 6.5, 41.5, 27, 49, 0.5, 17.5, 35.5, 47),
    CONVERSATION: (5, 25, 40, 15, 33, 50, 10.5, 45.5, 0, 20, 29.5, 37, 2.5, 22.5, 8, 17.5, 31, 48),
    CODE: (3, 20, 35, 12, 44, 27, 0, 40, 8, 30, 16, 23.5, 5.5, 33, 1.5, 18, 25.5, 42),
}
"""Minute at which each variant's window begins."""
_PREFIXES = (
    (60, 0.0, 6144),
    (150, 0.5, 6144),
    (30, 1.0, 8192),
    (300, 0.7, 4096),
    (100, 0.3, 5120),
    (200, 1.0, 8192),
    (80, 0.6, 7168),
    (400, 0.9, 5120),
    (120, 0.2, 6144),
    (50, 0.8, 4096),
    (250, 0.4, 7168),
    (40, 0.9, 6144),
    (180, 0.6, 5120),
    (90, 1.1, 7168),
    (140, 0.4, 6144),
    (70, 0.7, 5120),
    (350, 1.0, 7168),
    (110, 0.1, 8192),
)
"""Each variant's number of shared prefixes, how unevenly they are asked for (Zipf), and their tokens."""
VARIANTS = len(_PREFIXES)
_ADAPTERS = (
    (32, 1.0),
    (64, 0.8),
    (24, 1.2),
    (48, 1.0),
    (40, 0.9),
    (28, 1.0),
    (36, 1.1),
    (56, 0.9),
    (44, 1.0),
    (30, 0.8),
    (52, 1.1),
    (26, 0.9),
    (60, 1.0),
    (34, 1.2),
    (50, 1.0),
    (38, 0.8),
    (22, 1.1),
    (46, 1.2),
)
"""Each variant's number of adapters and the exponent of their popularity (Zipf)."""


def scenarios(traces: Path) -> dict[str, Scenario]:
    """Every setting by name; recorded traces are read from the directory ``traces``."""

    def recorded(name: str, minutes: float, variant: int) -> Workload:
        return window(trace(traces, name), _BEGINS[name][variant], minutes)

    def conversations(variant: int) -> Workload:
        return recorded(MOONCAKE, 6, variant)

    def prefixes(variant: int) -> Workload:
        groups, zipf, prefix = _PREFIXES[variant]
        return shared_prefixes(
            groups=groups, zipf=zipf, prefix=prefix, own=1024, answer=300, rate=20, seconds=100, seed=variant
        )

    def adapters(variant: int) -> Workload:
        count, zipf = _ADAPTERS[variant]
        return many_adapters(adapters=count, zipf=zipf, prompt=800, answer=150, rate=40, seconds=60, seed=variant)

    one, old = server(H100), server(A100)

    def scaled_up(seconds: float) -> tuple[Server, ...]:
        return (one,) * 4 + (replace(one, joins=0.4 * seconds),) * 4

    every = (
        Scenario("mooncake", conversations, equal(), 3.0),
        Scenario("azure-conversation", lambda variant: recorded(CONVERSATION, 6, variant), equal(), 20.0),
        Scenario("azure-code", lambda variant: recorded(CODE, 12, variant), equal(), 4.0),
        Scenario("shared-prefixes", prefixes, equal(), 2.5),
        Scenario("adapters", adapters, equal(loras=4), 3.0),
        Scenario("mixed-gpus", conversations, lambda seconds: (one,) * 4 + (old,) * 4, 1.8),
        Scenario("slow-server", conversations, lambda seconds: (one,) * 7 + (one.slowed(3.0),), 2.5),
        Scenario("burst", lambda variant: burst(conversations(variant)), equal(), 0.7),
        Scenario("scale-up", conversations, scaled_up, 2.0),
        Scenario("sheddable", lambda variant: conversations(variant).with_sheddable(0.4, variant), equal(), 3.5),
    )
    return {scenario.name: scenario for scenario in every}


__all__ = ["VARIANTS", "Scenario", "scenarios"]
