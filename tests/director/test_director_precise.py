"""With a precise index a request's token ids are asked for before an endpoint is chosen; without an answer it goes
on by estimate."""

from __future__ import annotations

import json
import random
from array import array
from typing import Any

import pytest
from tests.conftest import BuildPool, Objects
from tests.extproc.one_room import FLOW

from signalbox.director import Arrival, Asking, Director, PreciseTracker, Routed, Tokens, Waiting, policy_rules
from signalbox.pool import Pool
from signalbox.scheduling import load_policy
from signalbox.scheduling.prefix.precise_events import Stored

CONFIG = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: token-producer, parameters: {modelName: served, vllm: {url: "http://render:8000"}}}
- {type: precise-prefix-cache-producer, parameters: {speculativeIndexing: SPECULATIVE, speculativeTTL: 2s}}
- {type: prefix-cache-scorer, parameters: {prefixMatchInfoProducerName: precise-prefix-cache-producer}}
"""
IDS = list(range(64))


def packed(ids: list[int]) -> bytes:
    return array("I", ids).tobytes()


class Site:
    def __init__(self, pool: Pool, text: str) -> None:
        self.pool = pool
        self.director = Director(pool, policy_rules(load_policy(text, name="precise.yaml"), pool), rng=random.Random(1))

    @property
    def tracker(self) -> PreciseTracker:
        prefix = self.director.rules.prefix
        assert isinstance(prefix, PreciseTracker)
        return prefix

    def stores(self, pod: int, ids: list[int], **more: Any) -> None:
        endpoint = self.pool.endpoints[pod]
        if endpoint.row not in self.tracker._owners:
            self.tracker.begin(endpoint)
        hashes = [hash((pod, *ids[: end + 16])) & (2**64 - 1) for end in range(0, len(ids) // 16 * 16, 16)]
        self.tracker.take_in(endpoint, Stored(hashes, None, packed(ids), 16, **more))

    def arrive(self, path: str = "/v1/completions", **fields: Any) -> Any:
        body = json.dumps({"model": "m", **fields}).encode()
        return self.director.arrive(Arrival(path, body), 1.0)

    def route(self, tokens: Tokens | None, now: float = 2.0, **fields: Any) -> Routed:
        asking = self.arrive(**{"prompt": "text", **fields})
        assert isinstance(asking, Asking)
        outcome = self.director.proceed(asking, tokens, now)
        assert isinstance(outcome, Routed)
        assert outcome.ticket is not None
        return outcome


@pytest.fixture
def site(build_pool: BuildPool) -> Site:
    return Site(build_pool((0, 0, set()), (0, 0, set()), (0, 0, set())), CONFIG.replace("SPECULATIVE", "false"))


@pytest.fixture
def speculating(build_pool: BuildPool) -> Site:
    return Site(build_pool((0, 0, set()), (0, 0, set()), (0, 0, set())), CONFIG.replace("SPECULATIVE", "true"))


def pod_of(outcome: Routed) -> str:
    assert outcome.ticket is not None
    return outcome.ticket.endpoint.name


def test_a_request_goes_where_its_tokens_are_cached(site: Site) -> None:
    site.stores(2, IDS)
    outcome = site.route(Tokens((packed(IDS + [7] * 16),)))
    assert pod_of(outcome) == "pod-2"
    assert outcome.ticket is not None
    assert outcome.ticket.cached_tokens == 64
    assert outcome.ticket.prompt_tokens_estimate == 80
    assert outcome.ticket.received_at == 1.0


def test_what_is_asked_names_the_tokenizers_model_and_nothing_that_streams(site: Site) -> None:
    asking = site.arrive("/v1/chat/completions", messages=[{"role": "user", "content": "hi"}], stream=True, tools=[])
    assert isinstance(asking, Asking)
    assert asking.path == "/v1/chat/completions/render"
    assert json.loads(asking.body) == {
        "model": "served",
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [],
    }
    assert not asking.media


def test_prompts_with_media_may_take_longer(site: Site) -> None:
    part = {"type": "image_url", "image_url": {"url": "http://x/cat.png"}}
    asking = site.arrive("/v1/chat/completions", messages=[{"role": "user", "content": [part]}])
    assert isinstance(asking, Asking)
    assert asking.media


@pytest.mark.parametrize(("path", "fields"), [
    ("/v1/embeddings", {"input": "x"}),
    ("/v1/responses", {"input": "x"}),
    ("/v1/completions", {"prompt": "x", "prompt_embeds": "AAAA"}),
    ("/generate", {"prompt": "x"}),
])  # fmt: skip
def test_what_nobody_could_tell_is_not_asked(site: Site, path: str, fields: dict[str, Any]) -> None:
    assert isinstance(site.arrive(path, **fields), Routed)
    assert site.tracker.figures.estimated == 1


@pytest.mark.parametrize(("prompt", "asks"), [("x", True), (["x", "y"], False)])
def test_servers_tell_one_prompt_at_a_time(build_pool: BuildPool, prompt: Any, asks: bool) -> None:
    text = CONFIG.replace("SPECULATIVE", "false")
    text = text.replace('modelName: served, vllm: {url: "http://render:8000"}', "backend: tokenize")
    site = Site(build_pool((0, 0, set())), text)
    outcome = site.arrive(prompt=prompt)
    assert isinstance(outcome, Asking) is asks
    if isinstance(outcome, Asking):
        assert (outcome.path, json.loads(outcome.body)) == ("/tokenize", {"prompt": "x"})


@pytest.mark.parametrize("prompt", [IDS, [IDS], [IDS, IDS]])
def test_token_ids_from_the_client_need_no_question(site: Site, prompt: Any) -> None:
    site.stores(1, IDS)
    outcome = site.arrive(prompt=prompt)
    assert isinstance(outcome, Routed)
    assert pod_of(outcome) == "pod-1"


@pytest.mark.parametrize("prompt", [[-1], [1.5], [[1], "a"], [2**40]])
def test_what_is_no_list_of_token_ids_is_the_tokenizers_to_judge(site: Site, prompt: Any) -> None:
    assert isinstance(site.arrive(prompt=prompt), Asking)


def test_without_token_ids_the_approximate_index_answers_and_learns(site: Site) -> None:
    first = site.route(None, prompt="x" * 4000)
    site.director.finish(first.ticket, 3.0, outcome="complete", status=200)  # type: ignore[arg-type]
    again = [site.route(None, prompt="x" * 4000) for _ in range(3)]
    assert {pod_of(outcome) for outcome in again} == {pod_of(first)}
    assert site.tracker.figures.estimated == 4
    assert site.tracker.blocks > 0


def test_where_no_engines_blocks_fit_the_approximate_index_answers_and_learns(site: Site) -> None:
    asked = Tokens((packed(IDS),))
    first, endpoint = site.pool.endpoints[:2]
    site.tracker.begin(endpoint)
    site.tracker.take_in(endpoint, Stored([1, 2], None, packed(IDS[:48]), 24))  # 24 is no multiple of 16
    assert site.tracker.index.tally.unaligned == 2
    prompt = "word " * 400
    chosen = pod_of(site.route(asked, prompt=prompt))
    assert {pod_of(site.route(asked, prompt=prompt)) for _ in range(5)} == {chosen}
    assert (site.tracker.figures.lookups, site.tracker.figures.estimated) == (0, 6)
    site.stores(0, IDS)  # an engine whose blocks fit
    assert pod_of(site.route(asked, prompt=prompt)) == first.name
    assert site.tracker.figures.lookups == 1


def test_an_adapters_prompt_is_not_its_base_models(site: Site) -> None:
    site.stores(0, IDS, adapter="sql")
    site.stores(1, IDS)
    for model, pod in (("sql", "pod-0"), ("m", "pod-1"), ("other-name-of-the-base-model", "pod-1")):
        assert pod_of(site.route(Tokens((packed(IDS),)), model=model)) == pod


def test_a_salted_prompt_is_its_own(site: Site) -> None:
    site.stores(0, IDS)
    site.stores(2, IDS, extras=(("pepper",), (), (), ()))
    assert pod_of(site.route(Tokens((packed(IDS),)), cache_salt="pepper")) == "pod-2"
    assert pod_of(site.route(Tokens((packed(IDS),)))) == "pod-0"
    assert site.route(Tokens((packed(IDS),)), cache_salt="salt").ticket.cached_tokens == 0  # type: ignore[union-attr]
    assert site.route(Tokens((packed(IDS),)), cache_salt=7).ticket.cached_tokens == 64  # type: ignore[union-attr]


def test_media_are_part_of_the_blocks_they_reach_into(site: Site) -> None:
    site.stores(1, IDS, extras=((), ("cat",), ("cat",), ()))
    cat, dog = (Tokens((packed(IDS),), ((name, 20, 20),)) for name in ("cat", "dog"))
    assert pod_of(site.route(cat)) == "pod-1"
    assert site.route(cat).ticket.cached_tokens == 64  # type: ignore[union-attr]
    other = site.route(dog)
    assert other.ticket is not None
    assert other.ticket.cached_tokens in (0, 16)


def test_expectations_end_when_the_request_fails_or_their_time_is_over(speculating: Site) -> None:
    tokens = Tokens((packed(IDS),))
    first = speculating.route(tokens, now=2.0)
    assert pod_of(speculating.route(tokens, now=3.0)) == pod_of(first)
    speculating.director.finish(first.ticket, 3.0, outcome="server_error", status=500)  # type: ignore[arg-type]
    assert len(speculating.tracker.index.speculation) == 4
    speculating.route(Tokens((packed([9] * 16),)), now=5.0)
    assert len(speculating.tracker.index.speculation) == 1


def test_an_expectation_follows_its_request_to_a_fallback(speculating: Site) -> None:
    outcome = speculating.route(Tokens((packed(IDS),)))
    ticket = outcome.ticket
    assert ticket is not None
    other = ticket.fallbacks[0]
    speculating.director.served(ticket, other.address)
    index = speculating.tracker.index
    held = index.match(ticket.insertions[0].expectations[0].chain, speculating.pool.columns.size)  # type: ignore[attr-defined]
    assert held[other.row] == 4
    assert held.sum() == 4


def test_an_endpoint_that_left_does_not_take_its_successors_blocks_along(site: Site, objects: Objects) -> None:
    """Row and all: the events of a new endpoint may come before the director has noticed that the old one is gone."""
    site.route(None)
    old = site.pool.endpoints[2]
    site.stores(2, IDS)
    site.pool.remove(objects.pod("pod-2", "192.168.1.3").key)
    site.pool.put(objects.pod("pod-9", "192.168.1.9"))
    new = next(endpoint for endpoint in site.pool.endpoints if endpoint.name == "pod-9")
    site.tracker.begin(new)
    site.tracker.take_in(new, Stored([1], None, packed(IDS[:16]), 16))
    site.tracker.take_in(old, Stored([2], None, packed(IDS[:16]), 16))
    site.tracker.forget(old)
    site.tracker.lose(old)
    assert site.tracker.index.reported(new.row) == 1
    site.tracker.lose(new)
    assert site.tracker.index.entries == 0


def test_an_endpoint_that_comes_back_is_heard_again(site: Site) -> None:
    site.stores(1, IDS)
    endpoint = site.pool.endpoints[1]
    site.tracker.forget(endpoint)
    assert site.tracker.index.entries == 0
    site.tracker.take_in(endpoint, Stored([1], None, packed(IDS[:16]), 16))
    assert site.tracker.index.reported(endpoint.row) == 1


def test_a_reload_keeps_what_is_known_where_the_index_stays_the_same(site: Site) -> None:
    site.stores(0, IDS)
    text = CONFIG.replace("SPECULATIVE", "false")
    before = site.tracker
    more = text + "- {type: queue-scorer}\n"
    site.director.rules = policy_rules(load_policy(more, name="x"), site.pool, site.director.rules)
    assert site.tracker is before
    other = text.replace("render:8000", "render:9000")
    site.director.rules = policy_rules(load_policy(other, name="x"), site.pool, site.director.rules)
    assert site.tracker is not before
    plain = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
    site.director.rules = policy_rules(load_policy(plain, name="x"), site.pool, site.director.rules)
    assert not isinstance(site.director.rules.prefix, PreciseTracker)
    assert isinstance(site.arrive(prompt="x"), Routed)


def test_a_request_may_wait_for_its_turn_after_its_tokens_are_there(build_pool: BuildPool) -> None:
    more = "".join(f"{line}\n" for line in CONFIG.replace("SPECULATIVE", "false").splitlines()[3:])
    site = Site(build_pool((0, 0, set())), FLOW.replace("plugins:\n", f"plugins:\n{more}", 1))
    site.stores(0, IDS)
    tokens = Tokens((packed(IDS),))
    outcomes = []
    for _ in range(40):
        asking = site.arrive(prompt="x")
        assert isinstance(asking, Asking)
        outcomes.append(site.director.proceed(asking, tokens, 2.0))
        if isinstance(outcomes[-1], Waiting):
            break
    assert isinstance(outcomes[-1], Waiting)
    assert outcomes[-1].arrival.tokens == tokens
