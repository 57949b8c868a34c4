"""What the director finds out about a prompt, and that it looks only for what the rules ask about."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from signalbox.director import Arrival, Director, Routed, furnishing, guide_rules, policy_rules
from signalbox.payloads import prompts
from signalbox.pool import Pool
from signalbox.scheduling import load_policy

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
UNREAD = f"""{HEAD}plugins: [{{type: passthrough-parser}}, {{type: queue-scorer}}]
requestHandler: {{parsers: [{{pluginRef: passthrough-parser}}]}}
"""
ENCODING = f"""{HEAD}plugins:
- {{type: always-disagg-multimodal-decider}}
- {{type: disagg-profile-handler, parameters: {{deciders: {{encode: always-disagg-multimodal-decider}}}}}}
- {{type: decode-filter}}
- {{type: encode-filter}}
schedulingProfiles:
- {{name: decode, plugins: [{{pluginRef: decode-filter}}]}}
- {{name: encode, plugins: [{{pluginRef: encode-filter}}]}}
"""


def direct(pool: Pool, configuration: str | None) -> Director:
    rules = guide_rules() if configuration is None else policy_rules(load_policy(configuration, name="x"), pool)
    return Director(pool, rules, rng=random.Random(1))


def routed(director: Director, body: bytes, path: str = "/v1/chat/completions") -> Routed:
    outcome = director.arrive(Arrival(path, body), 1.0)
    assert isinstance(outcome, Routed)
    return outcome


def chat(content: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]}).encode()


@pytest.fixture
def stages(objects: Any) -> Pool:
    pool = Pool("pool")
    pool.set_pool(objects.pool())
    for host, role in ((1, "decode"), (2, "encode")):
        pool.put(objects.pod(role, f"10.0.0.{host}", labels={"app": "llm", "llm-d.ai/role": role}))
    return pool


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "video_url", "input_image", "image", "audio_url"])
def test_media_in_a_body_are_seen_by_a_policy_that_asks(stages: Pool, kind: str) -> None:
    outcome = routed(direct(stages, ENCODING), chat([{"type": "text", "text": "x"}, {"type": kind, kind: {}}]))
    assert outcome.headers == {"x-encoder-hosts-ports": "10.0.0.2:8000"}


def test_a_prompt_of_text_is_not_multimodal(stages: Pool) -> None:
    assert routed(direct(stages, ENCODING), chat("an image_url of sorts")).headers == {}
    tools = b'"tools": [{"type": "function", "function": {"name": "image"}}], "messages"'
    body = chat("hi").replace(b'"messages"', tools)
    assert routed(direct(stages, ENCODING), body).headers == {}


@pytest.mark.parametrize("configuration", [None, "", UNREAD], ids=["guide", "default", "passthrough"])
def test_a_policy_that_does_not_ask_has_no_body_searched(
    build_pool: Any, monkeypatch: pytest.MonkeyPatch, configuration: str | None
) -> None:
    monkeypatch.setattr(furnishing, "holds_media", None)  # whoever searches fails
    assert routed(direct(build_pool((0, 0, set())), configuration), chat("x")).ticket is not None
    with pytest.raises(TypeError):
        routed(direct(build_pool((0, 0, set())), ENCODING), chat("x"))


def test_a_prompt_that_is_looked_up_is_not_counted_as_well(build_pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "conversation_size", None)  # whoever counts fails
    ticket = routed(direct(build_pool((0, 0, set())), ""), chat("x" * 4000)).ticket
    assert ticket is not None
    assert 1000 <= ticket.prompt_tokens_estimate <= 1010
    with pytest.raises(TypeError):
        routed(direct(build_pool((0, 0, set())), None), chat("x"))


@pytest.mark.parametrize("configuration", [None, f"{HEAD}plugins: [{{type: queue-scorer}}]"], ids=["guide", "scorer"])
def test_without_an_index_four_bytes_are_a_token(build_pool: Any, configuration: str | None) -> None:
    ticket = routed(direct(build_pool((0, 0, set())), configuration), chat("x" * 4000)).ticket
    assert ticket is not None
    assert ticket.prompt_tokens_estimate == 1000


def test_of_a_body_that_cannot_be_read_all_bytes_count(build_pool: Any) -> None:
    ticket = routed(direct(build_pool((0, 0, set())), UNREAD), b"\x00" * 400, "/audio").ticket
    assert ticket is not None
    assert ticket.prompt_tokens_estimate == 100
