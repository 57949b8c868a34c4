"""Two published comparisons of routing policies: what was sent, and what came out.

Source: llm-d-kv-cache, benchmarking/37-capacity and benchmarking/73-capacity (inference-perf, vLLM on H100). Stages
follow each other once all requests of the one before have ended; prompts are drawn in turn from a fixed set, so that
from the second round on a whole prompt has been seen before.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from signalbox.lab.policies.llm_d import WeightedScores, Weights
from signalbox.lab.policies.peer import contender
from signalbox.lab.policies.random_choice import RandomChoice
from signalbox.lab.servers import Server, server
from signalbox.lab.stage import Contender, Stage, TracePrefixes, TruePrefixes
from signalbox.lab.synthetic import Load, SharedPrefix
from signalbox.lab.workload import Workload
from signalbox.scheduling.configuration.accepted import PrefixIndexParameters

PAUSE = 1000.0
"""Seconds between two stages of ours: enough for every policy to finish the one before."""


@dataclass(frozen=True, slots=True)
class Stated:
    """What was published of one policy. TTFT p90 of each stage and output tokens a second of each stage, in order."""

    policy: str
    output_rate: float
    """The published summary: the mean over the stages."""
    ttft_p90: float
    """The published summary, seconds."""
    stage_ttft_p90: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One published comparison and how to repeat it."""

    name: str
    text: str
    prompts: SharedPrefix
    loads: tuple[Load, ...]
    """The first is a warm-up and counts for nothing."""
    poisson: bool
    servers: tuple[Server, ...]
    outside: float
    """Seconds of their TTFT that pass outside of the engine (client, gateway, tokenizer): their p90 at the lowest rate
    for prompts that are cached, less ours."""
    weights: dict[str, Weights]
    stated: tuple[Stated, ...]

    def workload(self) -> Workload:
        """All stages."""
        return self.prompts.workload(self.name, self.loads, poisson=self.poisson, pause=PAUSE)

    def contenders(self) -> tuple[Contender, ...]:
        """Their policies, in the order of ``stated``. Scraped metrics are not corrected for what was sent since, as
        theirs were not."""
        return tuple([_contender(stated.policy, self.weights.get(stated.policy)) for stated in self.stated])


def _contender(name: str, weights: Weights | None) -> Contender:
    if weights is None:
        return contender(name, _random)
    prefixes = {"precise": TruePrefixes, "approximate": _believed}.get(name)
    return contender(name, partial(_weighted, weights), prefixes)


def _random(stage: Stage) -> RandomChoice:
    return RandomChoice()


def _weighted(weights: Weights, stage: Stage) -> WeightedScores:
    return WeightedScores(weights, stale=True)


def _believed(stage: Stage, parameters: PrefixIndexParameters) -> TracePrefixes:
    """Their index of that time: 31,250 blocks of 64 characters, of which 256 of a prompt were matched."""
    own = {"auto_tune": False, "block_size_tokens": 64, "max_prefix_tokens_to_match": 4096}
    return TracePrefixes(stage, parameters.model_copy(update={**own, "lru_capacity_per_server": 31_250 * 16 // 64}))


_LOAD_ONLY = Weights(1, 1, 0)

CAPACITY_37 = Comparison(
    name="37-capacity",
    text="4 servers of 4 H100, Llama-3.1-70B; 83 groups of 3 prompts, 8,000 + 1,000 tokens in, 1,000 out",
    prompts=SharedPrefix(83, 3, 8000, 1000, 1000),
    loads=tuple(
        Load(rate, seconds)
        for rate, seconds in (
            *((9, 30), (3, 210), (4, 180), (5, 120), (6, 120)),
            *((8, 90), (10, 70), (12, 60), (15, 50), (20, 50)),
        )
    ),
    poisson=False,
    servers=(server("llama-3.1-70b-4xh100"),) * 4,
    outside=0.16,
    weights={"precise": Weights(1, 1, 2), "approximate": Weights(1, 1, 2), "load": _LOAD_ONLY},
    stated=(
        Stated("precise", 5650, 0.275, (0.201, 0.277, 0.281, 0.281, 0.280, 0.282, 0.282, 0.288, 0.290)),
        Stated("approximate", 5096, 7.54, (0.399, 0.700, 0.900, 0.794, 1.110, 1.309, 1.199, 1.900, 43.568)),
        Stated("load", 3018, 78.3, (2.400, 16.101, 28.581, 59.389, 73.762, 86.063, 94.109, 114.672, 173.540)),
        Stated("random", 2895, 84.6, (1.502, 23.480, 41.795, 62.490, 78.656, 83.002, 98.661, 139.286, 176.975)),
    ),
)

CAPACITY_73 = Comparison(
    name="73-capacity",
    text="8 servers of 2 H100, Qwen3-32B; 150 groups of 5 prompts, 6,000 + 1,200 tokens in, 1,000 out",
    prompts=SharedPrefix(150, 5, 6000, 1200, 1000),
    loads=tuple(
        Load(rate, seconds)
        for rate, seconds in (
            *((15, 50), (3, 20), (10, 20), (15, 20), (20, 38), (22, 34), (25, 30), (30, 25), (35, 21)),
            *((40, 38), (43, 36), (46, 33), (49, 30), (52, 29), (55, 27), (57, 26), (60, 25)),
        )
    ),
    poisson=True,
    servers=(server("qwen3-32b-2xh100"),) * 8,
    outside=0.46,
    weights={"precise": Weights(2, 2, 3), "approximate": Weights(1, 1, 1), "load": _LOAD_ONLY},
    stated=(
        Stated(
            "precise",
            8730,
            0.542,
            (
                *(0.498, 0.600, 0.400, 0.600, 0.500, 0.583, 0.509, 0.500),
                *(0.488, 0.500, 0.589, 0.600, 0.507, 0.600, 0.600, 0.500),
            ),
        ),
        Stated(
            "approximate",
            6944,
            31.08,
            (
                *(0.497, 0.499, 0.400, 0.600, 0.700, 0.609, 0.708, 2.459),
                *(43.018, 43.515, 44.930, 46.335, 47.284, 50.108, 49.930, 50.226),
            ),
        ),
        Stated(
            "random",
            4429,
            92.55,
            (
                *(0.820, 1.398, 2.299, 70.273, 78.420, 82.943, 86.182, 91.519),
                *(101.272, 101.142, 101.265, 103.514, 105.004, 104.321, 106.816, 105.988),
            ),
        ),
        Stated(
            "load",
            4266,
            94.87,
            (
                *(1.609, 4.124, 7.002, 77.707, 72.972, 85.979, 83.806, 88.086),
                *(100.911, 101.524, 105.884, 105.015, 108.572, 110.681, 113.278, 110.184),
            ),
        ),
    ),
)

COMPARISONS = (CAPACITY_37, CAPACITY_73)
