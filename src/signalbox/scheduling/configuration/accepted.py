"""Plugin types of the reference that are no plugins here: what they stand for is built in, elsewhere or always on.

They may be listed and referred to where the reference wants them. Each has the reference's parameters, so that a
misspelled one is an error; parameters that would change something here that they cannot are errors or notes.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from pydantic import Field, model_validator

from signalbox.resources.limits import text
from signalbox.resources.strict import Boolean, fault
from signalbox.scheduling.parameters import Bounds, Count, NotNegative, Positive, PositiveCount
from signalbox.scheduling.plugin import Parameters


class PrefixIndexParameters(Parameters):
    """Parameters of approx-prefix-cache-producer: how prompts are cut into blocks and how much is remembered."""

    auto_tune: Boolean = True
    """Take block size and capacity from what each engine reports."""
    block_size_tokens: PositiveCount = 16
    """Tokens to a block while no engine says; with autoTune at least 64."""
    max_prefix_tokens_to_match: Count = 131072
    """Tokens of a prompt that are looked up; 0 leaves it to maxPrefixBlocksToMatch."""
    max_prefix_blocks_to_match: PositiveCount = 2048
    """Blocks of a prompt that are looked up, where maxPrefixTokensToMatch is 0."""
    lru_capacity_per_server: PositiveCount = 31250
    """Blocks remembered of each server where the engine does not say."""
    offload_tokens_per_server: Count = 0
    """Tokens that each server keeps beside the device, in host memory or on disk, where the engine does not say."""


class InflightLoadParameters(Parameters):
    """Parameters of inflight-load-producer."""

    add_estimated_output_tokens: Boolean = False
    output_ratio: Positive = 1.5
    max_estimated_output_tokens: Count | None = None
    prefix_match_info_producer_name: str = ""
    sync_cross_replica_state: Boolean = True


class TokenProducerParameters(Parameters):
    """Parameters of token-producer. Only the estimate is built in."""

    backend: str = "estimate"
    model_name: str = ""
    vllm: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _estimate_only(self) -> TokenProducerParameters:
        if self.vllm is not None:
            message = "is not supported: prompts are measured by estimate, no tokenizer service is asked"
            raise fault(message, "remove it", "vllm")
        if self.backend != "estimate":
            raise fault(f"{self.backend!r} is not supported", "write estimate or remove it", "backend")
        return self


class SessionIDParameters(Parameters):
    """Parameters of session-id-producer."""

    header_name: Annotated[str, text(1, 128)] = "x-session-id"


class MultimodalCacheParameters(Parameters):
    """Parameters of mm-embeddings-cache-producer."""

    cache_size_in_mb_per_server: Annotated[float, Bounds(above=0)] = Field(default=4096, alias="cacheSizeInMBPerServer")


class ThresholdParameters(Parameters):
    """Parameters of static-usage-limit-policy."""

    threshold: NotNegative = 1.0


class Accepted(NamedTuple):
    """What to make of such a type: the role it plays in the reference, its parameters, and what to tell the reader."""

    role: str
    parameters: type[Parameters] = Parameters
    note: str = ""
    """Said whenever the type is listed."""
    parameter_note: str = ""
    """Said when it is listed with parameters."""


_ALL_PARSERS = "every known API is read by its path; listing parsers switches none of the others off"

ACCEPTED: dict[str, Accepted] = {
    "approx-prefix-cache-producer": Accepted("data producer", PrefixIndexParameters),
    "inflight-load-producer": Accepted(
        "data producer",
        InflightLoadParameters,
        parameter_note="parameters have no effect: prompt and expected answer tokens are always counted",
    ),
    "token-producer": Accepted("data producer", TokenProducerParameters),
    "session-id-producer": Accepted(
        "data producer",
        SessionIDParameters,
        parameter_note="parameters have no effect: name the header in the session affinity plugin's sources",
    ),
    "mm-embeddings-cache-producer": Accepted(
        "data producer", MultimodalCacheParameters, note="has no effect: multimodal content counts in the prefix index"
    ),
    "metrics-data-source": Accepted("data source", note="metrics are polled as the picker's flags say"),
    "core-metrics-extractor": Accepted("extractor"),
    "openai-parser": Accepted("parser", note=_ALL_PARSERS),
    "anthropic-parser": Accepted("parser", note=_ALL_PARSERS),
    "vllmhttp-parser": Accepted("parser", note=_ALL_PARSERS),
    "sglanghttp-parser": Accepted("parser", note=_ALL_PARSERS),
    "passthrough-parser": Accepted("parser", note="a body is routed unread only where it cannot be understood"),
    "global-strict-fairness-policy": Accepted("fairness policy"),
    "fcfs-ordering-policy": Accepted("ordering policy"),
    "static-usage-limit-policy": Accepted("usage limit policy", ThresholdParameters),
}
