"""Media are found where a prompt can hold them, and nowhere else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from signalbox.payloads import Request, holds_media, read_request
from signalbox.payloads import media as media_module
from signalbox.payloads.media import KINDS

CHAT = "/v1/chat/completions"


def found(body: dict[str, Any], path: str = CHAT) -> bool:
    return holds_media(read_request(path, json.dumps({"model": "m", **body}).encode()))


def said(content: Any, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": "image"}, {"role": "user", "content": content}], **fields}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_part_is_media_by_its_type_or_by_its_member(kind: str) -> None:
    assert found(said([{"type": "text", "text": "x"}, {"type": kind, "url": "x"}]))
    assert found(said([{kind: {"url": "x"}}]))
    assert not found(said([{"type": "text", "text": "x", kind: None}]))


@pytest.mark.parametrize(
    "body",
    [
        said("hi", tools=[{"type": "function", "function": {"name": "image", "parameters": {"type": "image_url"}}}]),
        said("hi", metadata={"type": "image"}),
        said('{"type": "image_url"}'),
        said([{"type": "text", "text": '"image_url"'}]),
        {"messages": [{"role": "assistant", "audio": {"id": "a1"}, "content": "hi"}]},
        {"messages": ["image"]},
        {"messages": [{"role": "user", "content": ["image"]}]},
    ],
)
def test_what_only_bears_the_name_of_media_is_none(body: dict[str, Any]) -> None:
    assert not found(body)


def test_a_tools_result_and_an_item_of_the_responses_api_count() -> None:
    result = {"type": "tool_result", "content": [{"type": "image", "source": {}}]}
    assert found(said([result]), "/v1/messages")
    asked = [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]
    assert found({"input": asked}, "/v1/responses")
    assert found({"input": [{"type": "function_call_output", "output": [{"type": "input_image"}]}]}, "/v1/responses")
    assert not found({"input": "input_image"}, "/v1/responses")


def test_the_engines_own_members_count_where_they_hold_something() -> None:
    assert found({"text": "x", "image_data": ["..."]}, "/generate")
    assert not found({"text": "x", "image_data": []}, "/generate")


def test_what_cannot_be_read_or_is_too_long_to_be_taken_apart_is_judged_by_its_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert holds_media(Request("other", "", False, None, b'x "image_url" y', {}))
    assert not holds_media(Request("other", "", False, None, b"image_url", {}))
    monkeypatch.setattr(media_module, "LARGE", 10)
    monkeypatch.setattr(media_module, "MANY", 1)
    assert found(said([{"type": "text", "text": "x", "image": None}]))
