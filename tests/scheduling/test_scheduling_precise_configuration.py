"""What a configuration may say about precise prefixes, what is told to its reader, and what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from signalbox.scheduling import InvalidPolicy, Policy, load_policy
from signalbox.scheduling.prefix.precise import BLOCK_BYTES, DEFAULT_SIZE
from signalbox.scheduling.prefix.token_source import RENDER, TOKENIZE, TokenSource

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins:\n"
TOKENS = '- {type: token-producer, parameters: {modelName: m, vllm: {url: "http://r"}}}\n'
PRODUCER = "precise-prefix-cache-producer"


def loaded(*entries: str) -> Policy:
    return load_policy(HEAD + "".join(f"{entry}\n" for entry in entries), name="precise.yaml")


def index(parameters: str) -> Any:
    policy = loaded(TOKENS, f"- {{type: {PRODUCER}, parameters: {parameters}}}", "- {type: prefix-cache-scorer}")
    assert policy.precise is not None
    return policy.precise[0]


def test_defaults_are_the_references() -> None:
    found = index("{}")
    assert found.token_processor_config.block_size_tokens == 16
    assert found.indexer_config.weights == {"gpu": 1.0, "cpu": 0.8}
    assert found.indexer_config.kv_block_index_config.entries == DEFAULT_SIZE
    events = found.kv_events_config
    assert (events.central, events.topic_filter) == (False, None)
    assert (events.pod_discovery_config.socket_port, events.pod_discovery_config.replay_socket_port) == (5557, 0)
    assert (found.speculative_indexing, found.speculative_ttl) == (False, 2.0)


def test_the_older_name_of_the_block_size_counts() -> None:
    assert index("{tokenProcessorConfig: {blockSize: 64}}").token_processor_config.block_size_tokens == 64


def test_the_index_is_bounded_by_blocks_or_by_memory() -> None:
    one = index("{indexerConfig: {kvBlockIndexConfig: {inMemoryConfig: {size: 1000}}}}")
    other = index("{indexerConfig: {kvBlockIndexConfig: {costAwareMemoryConfig: {size: 2GiB}}}}")
    assert one.indexer_config.kv_block_index_config.entries == 1000
    assert other.indexer_config.kv_block_index_config.entries == 2 * 2**30 // BLOCK_BYTES


def test_memories_and_weights_are_the_files() -> None:
    found = index("{indexerConfig: {kvCacheBackendConfigs: [{name: GPU, weight: 1}, {name: storage, weight: 0.5}]}}")
    assert found.indexer_config.weights == {"gpu": 1.0, "storage": 0.5}


@pytest.mark.parametrize(("producer", "source"), [
    ("{vllm: {url: 'http://r:1'}, modelName: m}", TokenSource(RENDER, "m", "http://r:1")),
    ("{modelName: m}", TokenSource(RENDER, "m", "http://localhost:8000")),
    ("{backend: vllm}", TokenSource(RENDER, "", "http://localhost:8000")),
    ("{vllm: {url: 'https://[::1]/base'}}", TokenSource(RENDER, "", "https://[::1]/base")),
    ("{vllm: {timeout: 1s, mmTimeout: 2s}}", TokenSource(RENDER, "", "http://localhost:8000", 1.0, 2.0)),
    ("{backend: tokenize, modelName: m}", TokenSource(TOKENIZE, "m")),
    ("{}", TokenSource(TOKENIZE)),
])  # fmt: skip
def test_who_is_asked_for_token_ids(producer: str, source: TokenSource) -> None:
    entry = f"- {{type: token-producer, parameters: {producer}}}"
    policy = loaded(entry, f"- {{type: {PRODUCER}}}", "- {type: prefix-cache-scorer}")
    assert policy.precise is not None
    assert policy.precise[1] == source


def test_without_a_token_producer_the_servers_are_asked_and_that_is_told() -> None:
    policy = loaded(f"- {{type: {PRODUCER}}}", "- {type: prefix-cache-scorer}")
    assert policy.precise is not None
    assert policy.precise[1].backend == TOKENIZE
    assert any("token ids are asked of the pool's own servers" in note for note in policy.notes)


def test_the_older_scorer_is_producer_and_scorer_in_one(world: Any) -> None:
    scorer = "precise-prefix-cache-scorer"
    parameters = "{tokenProcessorConfig: {blockSize: 8}, kvEventsConfig: {zmqEndpoint: 'tcp://*:5557'}}"
    policy = loaded(TOKENS, f"- {{type: {scorer}, parameters: {parameters}}}")
    assert policy.precise is not None
    assert policy.precise[0].token_processor_config.block_size_tokens == 8
    assert policy.precise[0].kv_events_config.central
    state = world(3)
    (profile,) = policy.profiles.values()
    ((plugin, _),) = profile.scorers
    cycle = state.cycle(prefix=state.prefix([0, 1, 4], total=4))
    assert plugin.score(cycle, state.rows).tolist() == [0, 0.25, 1]
    assert plugin.score_few(cycle, [0, 1, 2]) == [0, 0.25, 1]  # type: ignore[attr-defined]
    assert plugin.score(state.cycle(), state.rows).tolist() == [0, 0, 0]
    assert plugin.score_few(state.cycle(), [0, 1, 2]) == [0, 0, 0]  # type: ignore[attr-defined]


@pytest.mark.parametrize("said", ["", ", discoverPods: false"])
def test_one_address_for_all_publishers_may_be_said_alone_or_with_discovery_off(said: str) -> None:
    assert index(f"{{kvEventsConfig: {{zmqEndpoint: 'tcp://*:5557'{said}}}}}").kv_events_config.central


def test_whoever_reads_prefixes_reads_the_precise_index_and_that_is_told() -> None:
    policy = loaded(
        TOKENS,
        "- {type: approx-prefix-cache-producer, name: approx}",
        f"- {{type: {PRODUCER}, name: exact}}",
        "- {type: prefix-cache-scorer, name: one, parameters: {prefixMatchInfoProducerName: approx}}",
        "- {type: prefix-cache-scorer, name: other, parameters: {prefixMatchInfoProducerName: exact}}",
    )
    assert policy.precise is not None
    assert [note for note in policy.notes if "reads the precise index too" in note and "one:" in note]
    assert not [note for note in policy.notes if "other:" in note]


def test_where_nobody_reads_prefixes_nothing_is_looked_up() -> None:
    policy = loaded(TOKENS, f"- {{type: {PRODUCER}}}", "- {type: queue-scorer}")
    assert (policy.precise, policy.prefix) == (None, None)


def test_token_ids_without_use_are_told() -> None:
    policy = loaded(TOKENS, "- {type: prefix-cache-scorer}")
    assert policy.precise is None
    assert any("token-producer: has no effect" in note for note in policy.notes)


def test_what_has_no_effect_is_told_however_deep() -> None:
    parameters = "{tokenProcessorConfig: {hashSeed: '42'}, kvEventsConfig: {podDiscoveryConfig: {podLabelSelector: a}}}"
    entry = f"- {{type: {PRODUCER}, parameters: {parameters}}}"
    notes = loaded(TOKENS, entry, "- {type: prefix-cache-scorer}").notes
    assert any("tokenProcessorConfig.hashSeed" in note and "engines name blocks as they like" in note for note in notes)
    assert any("podDiscoveryConfig.podLabelSelector" in note for note in notes)


@pytest.mark.parametrize(("parameters", "problem"), [
    ("{kvEventsConfig: {discoverPods: false}}", "there is no zmqEndpoint either"),
    ("{kvEventsConfig: {zmqEndpoint: 'localhost:5557'}}", "is no address"),
    ("{kvEventsConfig: {engineType: tgi}}", "engineType"),
    ("{kvEventsConfig: {podDiscoveryConfig: {socketPort: 0}}}", "socketPort"),
    ("{indexerConfig: {kvBlockIndexConfig: {redisConfig: {address: x}}}}", "redisConfig: is not supported"),
    ("{indexerConfig: {kvBlockIndexConfig: {inMemoryConfig: {}, costAwareMemoryConfig: {}}}}", "keep one of the two"),
    ("{indexerConfig: {kvCacheBackendConfigs: [{name: gpu}, {name: gpu}]}}", "kvCacheBackendConfigs"),
    (
        "{kvEventsConfig: {zmqEndpoint: 'tcp://*:5557', discoverPods: true}}",
        "discoverPods: is true beside zmqEndpoint: publishers connect to that, or are connected to; set it to false",
    ),
    ("{tokenProcessorConfig: {blockSizeTokens: 0}}", "Tokens: must be at least 1 and at most 65536, got 0"),
    ("{tokenProcessorConfig: {blockSizeTokens: -16}}", "Tokens: must be at least 1 and at most 65536, got -16"),
    ("{tokenProcessorConfig: {blockSizeTokens: 1000000000}}", "must be at least 1 and at most 65536, got 1e+09"),
    ("{speculativeTTL: 2}", "speculativeTTL"),
    ("{hashSeed: x}", "hashSeed"),
])  # fmt: skip
def test_what_cannot_work_is_a_problem(parameters: str, problem: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        index(parameters)
    assert problem in str(caught.value)


@pytest.mark.parametrize(("parameters", "problem"), [
    ("{backend: estimate}", "needs token ids, and the token-producer estimates them"),
    ("{backend: uds}", "'uds' is not supported"),
    ("{backend: spacy}", "is not a backend"),
    ("{backend: estimate, vllm: {}}", "has no use for backend estimate"),
    ("{vllm: {url: 'unix:/x'}}", "vllm.url"),
    ("{vllm: {url: 'http://render:99999'}}", "no host and port that can be connected to; write http://HOST:PORT"),
    ("{vllm: {url: 'http://render:0'}}", "no host and port"),
    ("{vllm: {url: 'http://:8000'}}", "no host and port"),
    ("{vllm: {url: 'http://render..svc:8000'}}", "no host and port"),
    ("{vllm: {url: 'http://[::1:8000'}}", "no host and port"),
    ("{vllm: {url: 'http://me:secret@render'}}", "is more than scheme, host, port and path"),
    ("{vllm: {url: 'http://render/v1?x=y'}}", "is more than scheme, host, port and path"),
    ("{vllm: {timeout: 5}}", "vllm.timeout"),
    ("{vllm: {timeout: 0s}}", "vllm.timeout"),
])  # fmt: skip
def test_a_token_producer_that_cannot_work_is_a_problem(parameters: str, problem: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        loaded(
            f"- {{type: token-producer, parameters: {parameters}}}",
            f"- {{type: {PRODUCER}}}",
            "- {type: prefix-cache-scorer}",
        )
    assert problem in str(caught.value)
