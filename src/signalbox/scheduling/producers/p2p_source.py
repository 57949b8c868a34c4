"""``p2p-source-producer``."""

from __future__ import annotations

from collections.abc import Mapping

from signalbox.pool import few
from signalbox.scheduling.framework import Cycle, Decision
from signalbox.scheduling.parameters import PositiveCount
from signalbox.scheduling.plugin import Parameters, ProducerPlugin

KV_SOURCE_HEADER = "x-kv-cache-source-host-port"
"""Read by the sidecar of the server that computes the prompt. The gateway removes what clients send under this name."""


class P2PSourceParameters(Parameters):
    """Parameters of p2p-source-producer."""

    min_cached_token_delta: PositiveCount = 1
    """Tokens of the prompt that the source must hold beyond what the computing server does."""
    prefill_profile_name: str = "prefill"
    """The profile whose choice computes the prompt; where it did not run, the destination does."""
    prefix_match_info_producer_name: str = ""
    """The approx-prefix-cache-producer to read. There is one prefix index, which every name means."""


class P2PSourceProducer(ProducerPlugin[P2PSourceParameters]):
    """Which endpoint to fetch the KV cache of the prompt's beginning from.

    Of all endpoints that hold the most of the prompt, to within a block, one is drawn with the weight ``1 / (1 +
    queue)``. If it holds at least minCachedTokenDelta tokens more than the server that computes the prompt, its address
    goes into the header ``x-kv-cache-source-host-port``. Source: p2p-source-producer of llm-d, which draws by a hash of
    the request id.
    """

    type = "p2p-source-producer"
    use = "Servers that pull KV blocks from one another: vLLM's offloading connector with a p2p tier, and the sidecar."
    reads_prefix = True

    def request_headers(self, cycle: Cycle, decision: Decision) -> Mapping[str, str]:
        """Return the header, if there is a source."""
        prefix = cycle.prefix
        if prefix is None or not cycle.endpoints:
            return {}
        computing = decision.stages.get(self.parameters.prefill_profile_name, decision.rows)[0]
        held = prefix.blocks.tolist()
        most = max(held[row] for row in cycle.endpoints)
        missing = (most - held[computing]) * prefix.block_size
        if most <= 0.0 or missing < self.parameters.min_cached_token_delta:
            return {}
        sources = sorted([row for row in cycle.endpoints if held[row] >= most - 1.0 and held[row] > held[computing]])
        weights = [1.0 / (1.0 + queue) for queue in few.queue(cycle.columns, sources)]
        source = cycle.rng.choices(sources, weights)[0]
        if (held[source] - held[computing]) * prefix.block_size < self.parameters.min_cached_token_delta:
            return {}
        return {KV_SOURCE_HEADER: cycle.endpoints[source].address}
