"""Policies to compare with: the peers' as their documentation describes them, and an oracle. For the lab only."""

from signalbox.lab.policies.bounded_hash import BOUNDED_HASH
from signalbox.lab.policies.cache_aware import CACHE_AWARE
from signalbox.lab.policies.dynamo import DYNAMO, DYNAMO_WARM
from signalbox.lab.policies.least_request import LEAST_REQUEST
from signalbox.lab.policies.llm_d import LLM_D_DEFAULT, LLM_D_MENDED, LLM_D_OPTIMIZED, LLM_D_PRECISE
from signalbox.lab.policies.oracle import ORACLE
from signalbox.lab.policies.ours import LEAST_COST, LEAST_COST_PRECISE, LEAST_COST_SCORER, OUR_DEFAULT
from signalbox.lab.policies.power_of_two import POWER_OF_TWO
from signalbox.lab.policies.random_choice import RANDOM
from signalbox.lab.policies.ray_prefix import RAY_PREFIX
from signalbox.lab.policies.round_robin import ROUND_ROBIN
from signalbox.lab.stage import Contender, guide

PEERS: dict[str, Contender] = {
    one.name: one
    for one in (
        RANDOM,
        ROUND_ROBIN,
        LEAST_REQUEST,
        POWER_OF_TWO,
        guide(),
        BOUNDED_HASH,
        CACHE_AWARE,
        RAY_PREFIX,
        DYNAMO,
        DYNAMO_WARM,
        LLM_D_DEFAULT,
        LLM_D_MENDED,
        LLM_D_OPTIMIZED,
        LLM_D_PRECISE,
    )
}
"""Every peer's policy by name."""

POLICIES: dict[str, Contender] = {
    one.name: one for one in (LEAST_COST, LEAST_COST_PRECISE, LEAST_COST_SCORER, OUR_DEFAULT, *PEERS.values(), ORACLE)
}
"""The peers', ours, and the oracle."""

__all__ = ["LEAST_COST", "LEAST_COST_PRECISE", "LEAST_COST_SCORER", "ORACLE", "OUR_DEFAULT", "PEERS", "POLICIES"]
