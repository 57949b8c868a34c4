"""Each image, video and sound of a prompt has a hash; the same one has the same in another prompt."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.payloads import Request, holds_media, media_hashing, media_items, read_request
from signalbox.payloads.media_hashing import MOST_ITEMS

CHAT, MESSAGES, RESPONSES, GENERATE = "/v1/chat/completions", "/v1/messages", "/v1/responses", "/generate"


def items(body: dict[str, Any], path: str = CHAT) -> tuple[int, ...]:
    return media_items(read_request(path, json.dumps({"model": "m", **body}).encode()))


def said(*content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(content)}]}


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


TEXT = {"type": "text", "text": "what is this?"}


def test_the_same_picture_is_the_same_item_wherever_it_stands() -> None:
    cat, dog = items(said(image("cat"))), items(said(TEXT, image("dog")))
    assert len(cat) == len(dog) == 1
    assert cat != dog
    assert items(said(image("dog"), TEXT, image("cat"), image("dog"))) == (*dog, *cat)


@pytest.mark.parametrize(
    ("path", "make"),
    [
        (CHAT, lambda data: said({"type": "input_audio", "input_audio": {"data": data, "format": "wav"}})),
        (CHAT, lambda data: said({"type": "video_url", "video_url": {"url": data}})),
        (CHAT, lambda data: said({"image_url": {"url": data}})),
        (CHAT, lambda data: said({"type": "image", "image": data})),
        (CHAT, lambda data: said({"type": "image_embeds", "uuid": data})),
        (MESSAGES, lambda data: said({"type": "image", "source": {"type": "base64", "data": data}})),
        (
            MESSAGES,
            lambda data: said({"type": "tool_result", "content": [{"type": "image", "source": {"data": data}}]}),
        ),
        (
            RESPONSES,
            lambda data: {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": data}]}]},
        ),
        (GENERATE, lambda data: {"text": "x", "image_data": data}),
        (GENERATE, lambda data: {"text": "x", "image_data": [data]}),
        (GENERATE, lambda data: {"prompt": "x", "multi_modal_data": {"image": [data]}}),
    ],
)
def test_every_apis_way_to_give_one(path: str, make: Any) -> None:
    one, other = items(make("AAAA"), path), items(make("BBBB"), path)
    assert len(one) == len(other) == 1
    assert one != other
    assert items(make("AAAA"), path) == one


@pytest.mark.parametrize(
    "body",
    [
        said(TEXT),
        said({"type": "text", "text": '"image_url"'}),
        {"messages": [{"role": "user", "content": '{"type": "image_url"}'}]},
        {"messages": ["image_url"]},
        {"messages": [["image_url"], {"image_url": None}]},
        {"prompt": "x", "image_data": []},
        {"prompt": "x", "image_data": None},
    ],
)
def test_where_there_is_none(body: dict[str, Any]) -> None:
    assert items(body, GENERATE if "prompt" in body else CHAT) == ()


def test_a_body_that_cannot_be_read_has_none() -> None:
    assert media_items(Request("other", "", False, None, b'x "image_url" y', {})) == ()


def test_there_is_an_end_to_it() -> None:
    assert len(items(said(*[image(str(number)) for number in range(MOST_ITEMS + 5)]))) == MOST_ITEMS
    deep: Any = "x"
    for _ in range(200):
        deep = [deep]
    assert len(items({"text": "x", "image_data": deep}, GENERATE)) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["image_url", "image", "text", "", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "content", "image", "image_url", "source", "output"]), inner)
    ),
    max_leaves=15,
)


@given(messages=JSON, native=JSON)
def test_whatever_comes_it_is_taken_apart_or_left(messages: Any, native: Any) -> None:
    body = json.dumps({"model": "m", "messages": messages, "image_data": native}).encode()
    request = read_request(GENERATE, body)
    found = media_items(request)
    assert len(found) == len(set(found))
    assert holds_media(request) or not found


def test_a_conversation_of_too_many_parts_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_hashing, "LARGE", 10)
    monkeypatch.setattr(media_hashing, "MANY", 1)
    assert items(said(image("cat"), TEXT)) == ()
    assert items({"text": "x", "image_data": ["a" * 20, "b", "c"]}, GENERATE) == ()
