"""``precise-prefix-cache-producer``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AliasChoices, BeforeValidator, Field, model_validator

from signalbox.resources.limits import text, unique_by
from signalbox.resources.strict import Boolean, Opaque, fault
from signalbox.scheduling.parameters import BlockTokens, Bounds, Count, Duration, NotNegative, PositiveCount, Quantity
from signalbox.scheduling.plugin import Parameters, ProducerPlugin
from signalbox.scheduling.prefix.precise import BLOCK_BYTES, DEFAULT_SIZE, DEFAULT_WEIGHTS

_OPAQUE_KEYS = "engines name blocks as they like: what is looked up is hashed here from the token ids they report"
_MEASURED = "the index is always measured"
_SETS = "all endpoints that hold a block are remembered"
_IN_ORDER = "events are read in one place, each endpoint's in their order"


def _without_b(value: object) -> object:
    """``2GiB``, as the reference writes sizes, is Kubernetes' ``2Gi``."""
    return value.removesuffix("B") if isinstance(value, str) else value


Size = Annotated[Quantity, BeforeValidator(_without_b)]
Port = Annotated[int, Bounds(minimum=1, maximum=65535)]


class TokenProcessor(Parameters):
    """How prompts are cut into blocks."""

    ineffective: ClassVar[Mapping[str, str]] = {"hash_seed": _OPAQUE_KEYS, "hash_algorithm": _OPAQUE_KEYS}

    block_size_tokens: BlockTokens = Field(
        default=16, validation_alias=AliasChoices("blockSizeTokens", "blockSize"), alias="blockSizeTokens"
    )
    """Tokens to a block. The engines' own size must be this, a multiple of it, or divide it; blockSize is another name
    for it."""
    hash_seed: str = ""
    """No effect."""
    hash_algorithm: str = ""
    """No effect."""


class InMemory(Parameters):
    """Bounds of the index by what it holds."""

    ineffective: ClassVar[Mapping[str, str]] = {"pod_cache_size": _SETS}

    size: PositiveCount = DEFAULT_SIZE
    """The engines' blocks of all endpoints together; what is reported beyond is not taken in."""
    pod_cache_size: Count = 10
    """No effect."""


class CostAware(Parameters):
    """Bounds of the index by its memory."""

    size: Size = DEFAULT_SIZE * BLOCK_BYTES
    """Bytes, as a quantity; 120 are reckoned for each engine's block at one endpoint."""


class BlockIndex(Parameters):
    """How much the index may hold."""

    ineffective: ClassVar[Mapping[str, str]] = {"enable_metrics": _MEASURED, "metrics_logging_interval": _MEASURED}

    in_memory_config: InMemory | None = None
    """At most so many blocks: {size: 4000000} unless it says otherwise."""
    cost_aware_memory_config: CostAware | None = None
    """At most so many bytes, {size: 2GiB} for example."""
    redis_config: Opaque = None
    """Not supported."""
    enable_metrics: Boolean = False
    """No effect."""
    metrics_logging_interval: str = ""
    """No effect."""

    @model_validator(mode="after")
    def _one_of_two(self) -> BlockIndex:
        if self.redis_config is not None:
            message = "is not supported: the index is in the picker's own memory"
            raise fault(message, "use inMemoryConfig or remove it", "redisConfig")
        if self.in_memory_config is not None and self.cost_aware_memory_config is not None:
            raise fault("stands beside inMemoryConfig", "keep one of the two", "costAwareMemoryConfig")
        return self

    @property
    def entries(self) -> int:
        """The engines' blocks on all endpoints together."""
        if self.cost_aware_memory_config is not None:
            return max(1, int(self.cost_aware_memory_config.size / BLOCK_BYTES))
        return DEFAULT_SIZE if self.in_memory_config is None else self.in_memory_config.size


class CacheBackend(Parameters):
    """One kind of memory that engines keep blocks in."""

    name: Annotated[str, text(1, 64)]
    """As the engines report it, in lower case."""
    weight: NotNegative = 1.0
    """What a block in it counts."""


class Indexer(Parameters):
    """The index."""

    ineffective: ClassVar[Mapping[str, str]] = {
        "tokenizers_pool_config": "token-producer names who is asked for tokens"
    }

    kv_block_index_config: BlockIndex = BlockIndex()
    """How much the index may hold."""
    kv_cache_backend_configs: Annotated[tuple[CacheBackend, ...], unique_by("name")] = tuple(
        [CacheBackend(name=name, weight=weight) for name, weight in DEFAULT_WEIGHTS.items()]
    )
    """Kinds of memory, and what a block in each counts. What engines keep elsewhere is not looked at."""
    tokenizers_pool_config: Opaque = None
    """No effect."""

    @property
    def weights(self) -> dict[str, float]:
        """What a block counts, by medium."""
        return {backend.name.lower(): backend.weight for backend in self.kv_cache_backend_configs}


class PodDiscovery(Parameters):
    """Where each endpoint publishes its events."""

    ineffective: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("pod_label_selector", "pod_namespace", "reconcile_interval"), "the endpoints are the pool's"
    )

    socket_port: Port = 5557
    """The port of an endpoint's publisher; that of rank N is N higher."""
    replay_socket_port: Annotated[int, Bounds(minimum=0, maximum=65535)] = 0
    """The port where missed events can be asked for, in the same way; 0 for none."""
    pod_label_selector: str = ""
    """No effect."""
    pod_namespace: str = ""
    """No effect."""
    reconcile_interval: str = ""
    """No effect."""


class KVEvents(Parameters):
    """How the engines' events come."""

    ineffective: ClassVar[Mapping[str, str]] = {
        "concurrency": _IN_ORDER,
        "engine_type": "vLLM's and SGLang's are told apart",
    }

    zmq_endpoint: Annotated[str, text(0, 256)] = ""
    """Where to wait for publishers, such as tcp://*:5557; without it each endpoint's own publisher is connected to."""
    topic_filter: str | None = None
    """What topics begin with. By default kv@ where publishers come to zmqEndpoint, and any from endpoints."""
    concurrency: PositiveCount = 4
    """No effect."""
    engine_type: Literal["vllm", "sglang"] = "vllm"
    """No effect."""
    discover_pods: Boolean = True
    """Whether to connect to the endpoints; false needs zmqEndpoint, and where that is set this need not be said."""
    pod_discovery_config: PodDiscovery = PodDiscovery()
    """Where endpoints publish them."""

    @model_validator(mode="after")
    def _from_somewhere(self) -> KVEvents:
        if not self.zmq_endpoint and not self.discover_pods:
            raise fault("is false, and there is no zmqEndpoint either", "set one of the two", "discoverPods")
        if self.zmq_endpoint and self.discover_pods and "discover_pods" in self.model_fields_set:
            message = "is true beside zmqEndpoint: publishers connect to that, or are connected to"
            raise fault(message, "set it to false, or remove zmqEndpoint", "discoverPods")
        if self.zmq_endpoint and not self.zmq_endpoint.startswith(("tcp://", "ipc://")):
            raise fault(f"{self.zmq_endpoint!r} is no address", "write tcp://*:5557 or the like", "zmqEndpoint")
        return self

    @property
    def central(self) -> bool:
        """Whether publishers come to one address, rather than being connected to."""
        return bool(self.zmq_endpoint)


class PrecisePrefixParameters(Parameters):
    """Parameters of precise-prefix-cache-producer."""

    token_processor_config: TokenProcessor = TokenProcessor()
    """How prompts are cut into blocks."""
    indexer_config: Indexer = Indexer()
    """How much is remembered, and what it counts."""
    kv_events_config: KVEvents = Field(default=KVEvents(), alias="kvEventsConfig")
    """How the engines' events come."""
    speculative_indexing: Boolean = False
    """Whether a prompt counts as cached where it was sent, until the engine's events are there."""
    speculative_ttl: Duration = Field(default=2.0, alias="speculativeTTL")
    """How long it does at most."""


class PrecisePrefixCacheProducer(ProducerPlugin[PrecisePrefixParameters]):
    """Which endpoints hold the beginning of a prompt, by the KV-cache events of their engines.

    Listing it puts the precise index in the place of the approximate one for every plugin that reads prefixes, whatever
    producer that names; the approximate one answers for prompts whose token ids nobody told. Needs a token-producer
    that asks for token ids. Source: precise-prefix-cache-producer of llm-d; what differs is in docs/precise-prefix.md.
    """

    type = "precise-prefix-cache-producer"
    use = "Caches so contended that what was sent where says little of what is still there; see docs/precise-prefix.md."
