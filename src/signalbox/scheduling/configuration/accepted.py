"""Plugin types of the reference that are no plugins here: what they stand for is built in, elsewhere or always on.

They may be listed and referred to where the reference wants them. Each has the reference's parameters, so that a
misspelled one is an error; parameters that would change something here that they cannot are errors or notes.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, model_validator

from signalbox.resources.limits import text
from signalbox.resources.strict import Boolean, fault
from signalbox.scheduling.parameters import BlockTokens, Bounds, Count, Duration, Positive, PositiveCount
from signalbox.scheduling.plugin import Parameters
from signalbox.scheduling.prefix.token_source import RENDER, TOKENIZE, TokenSource


class PrefixIndexParameters(Parameters):
    """Parameters of approx-prefix-cache-producer: how prompts are cut into blocks and how much is remembered."""

    auto_tune: Boolean = True
    """Take block size and capacity from what each engine reports."""
    block_size_tokens: BlockTokens = 16
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


def _service(url: str) -> str:
    """Check that a service can be asked at a URL."""
    try:
        parts = urlsplit(url)
        usable = parts.hostname is not None and parts.port != 0
        if usable:
            (parts.hostname or "").encode("idna")
    except ValueError:
        usable = False
    if not usable:
        raise fault(f"{url!r} has no host and port that can be connected to", "write http://HOST:PORT")
    if parts.username is not None or parts.query or parts.fragment:
        raise fault(f"{url!r} is more than scheme, host, port and path", "write http://HOST:PORT alone")
    return url


class RenderParameters(Parameters):
    """The rendering service of a token-producer."""

    url: Annotated[str, text(1, 2048, r"https?://[^/\s]+(/\S*)?", "a URL"), AfterValidator(_service)] = (
        "http://localhost:8000"
    )
    """Where it is."""
    timeout: Annotated[Duration, Bounds(above=0)] = 5.0
    """How long a request waits for its token ids at most."""
    mm_timeout: Annotated[Duration, Bounds(above=0)] = 30.0
    """The same for prompts with media."""


class TokenProducerParameters(Parameters):
    """Parameters of token-producer."""

    backend: str = ""
    """``estimate``, ``vllm`` or, beyond the reference, ``tokenize``; by default what the other parameters are for."""
    model_name: Annotated[str, text(0, 512)] = ""
    """The model whose tokenizer it is."""
    vllm: RenderParameters | None = None

    @model_validator(mode="after")
    def _known(self) -> TokenProducerParameters:
        if self.backend == "uds":
            raise fault("'uds' is not supported: it is deprecated in the reference", "use vllm", "backend")
        if self.backend not in ("", "estimate", RENDER, TOKENIZE):
            raise fault(f"{self.backend!r} is not a backend", "write estimate, vllm or tokenize", "backend")
        if self.backend == "estimate" and self.vllm is not None:
            raise fault("has no use for backend estimate", "remove one of the two", "vllm")
        return self

    @property
    def source(self) -> TokenSource | None:
        """Who is asked; ``None`` where tokens are estimated."""
        backend = self.backend or (RENDER if self.vllm is not None or self.model_name else "estimate")
        if backend == "estimate":
            return None
        service = self.vllm or RenderParameters()
        url = service.url if backend == RENDER else ""
        return TokenSource(backend, self.model_name, url, service.timeout, service.mm_timeout)


class MetricsDataSourceParameters(Parameters):
    """Parameters of metrics-data-source."""

    scheme: str = "http"
    path: str = "/metrics"
    insecure_skip_verify: Boolean = True


class ModelsDataSourceParameters(Parameters):
    """Parameters of models-data-source."""

    scheme: str = "http"
    path: str = "/v1/models"
    insecure_skip_verify: Boolean = True


class NotificationSourceParameters(Parameters):
    """Parameters of k8s-notification-source: the kind to watch."""

    group: str = ""
    version: str = ""
    kind: str = ""


class Accepted(NamedTuple):
    """What to make of such a type: the role it plays in the reference, its parameters, and what to tell the reader."""

    role: str
    parameters: type[Parameters] = Parameters
    note: str = ""
    """Said whenever the type is listed."""
    parameter_note: str = ""
    """Said when it is listed with parameters."""


_HEADERS = "is deprecated in the reference and has no effect: disagg-profile-handler writes the headers itself"
_ALL_PARSERS = "every known API is read by its path; listing parsers switches none of the others off"

ACCEPTED: dict[str, Accepted] = {
    "approx-prefix-cache-producer": Accepted("data producer", PrefixIndexParameters),
    "inflight-load-producer": Accepted(
        "data producer",
        InflightLoadParameters,
        parameter_note="parameters have no effect: prompt and expected answer tokens are always counted",
    ),
    "token-producer": Accepted("data producer", TokenProducerParameters),
    "metrics-data-source": Accepted(
        "data source", MetricsDataSourceParameters, note="metrics are polled as the picker's flags say"
    ),
    "models-data-source": Accepted(
        "data source", ModelsDataSourceParameters, note="servers are asked for their models wherever that matters"
    ),
    "models-data-extractor": Accepted("extractor"),
    "k8s-notification-source": Accepted(
        "data source",
        NotificationSourceParameters,
        note="has no effect: what is needed of Kubernetes is watched anyway",
    ),
    "disagg-headers-handler": Accepted("request handler", note=_HEADERS),
    "prefill-header-handler": Accepted("request handler", note=_HEADERS),
    "core-metrics-extractor": Accepted("extractor"),
    "endpoint-notification-source": Accepted(
        "data source", note="has no effect: whoever minds endpoints is told of them"
    ),
    "openai-parser": Accepted("parser", note=_ALL_PARSERS),
    "anthropic-parser": Accepted("parser", note=_ALL_PARSERS),
    "vllmhttp-parser": Accepted("parser", note=_ALL_PARSERS),
    "sglanghttp-parser": Accepted("parser", note=_ALL_PARSERS),
    "passthrough-parser": Accepted("parser", note="a body is routed unread only where it cannot be understood"),
    "sheddable-eviction-filter": Accepted("eviction filter"),
    "priority-then-time-eviction-order-policy": Accepted("eviction order policy"),
}
