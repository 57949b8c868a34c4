"""Lists and events as bytes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.bbr.cluster_models import ConfigMapRecord
from signalbox.cluster.codec import Bookmark, Codec, Event, Lines, Unreadable
from signalbox.cluster.errors import Refused
from signalbox.sources.kubernetes.records import PodRecord, PolicyRecord


class Meta(msgspec.Struct):
    """Of a thing."""

    name: str
    version: str = msgspec.field(name="resourceVersion", default="")


class Thing(msgspec.Struct):
    """An object."""

    metadata: Meta

    @property
    def name(self) -> str:
        """Its name."""
        return self.metadata.name

    @property
    def version(self) -> str:
        """Its version."""
        return self.metadata.version


CODEC = Codec(Thing)


def test_a_page_holds_objects_a_version_and_where_the_next_begins() -> None:
    page = CODEC.page(
        b'{"kind":"PodList","metadata":{"resourceVersion":"7","continue":"c"},'
        b'"items":[{"metadata":{"name":"a","resourceVersion":"3"},"spec":{"unread":[1,2]}}]}'
    )
    assert [item.name for item in page.items] == ["a"]
    assert (page.version, page.more) == ("7", "c")


def test_an_empty_list_may_be_null() -> None:
    page = CODEC.page(b'{"metadata":{"resourceVersion":"7"},"items":null}')
    assert (page.items, page.more) == ([], "")


@pytest.mark.parametrize("data", [b"", b"[]", b'{"items":[]}', b'{"metadata":{},"items":[{}]}', b"<html>"])
def test_what_is_no_list_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable, match="list:"):
        CODEC.page(data)


def test_an_event_holds_its_kind_and_object() -> None:
    event = CODEC.event(b'{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"3"}}}')
    assert event == Event("ADDED", Thing(Meta("a", "3")))


REAL_BOOKMARK = (
    b'{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"598",'
    b'"creationTimestamp":null},"spec":{"containers":null},"status":{}}}'
)
"""As kube-apiserver 1.20 writes it: an empty object of its Go type, with nothing but a version."""


@pytest.mark.parametrize(
    "codec",
    [CODEC, Codec(PodRecord), Codec(PolicyRecord), Codec(ConfigMapRecord)],
    ids=["thing", "pod", "policy", "map"],
)
def test_a_bookmark_is_a_version_and_no_object(codec: Codec[Any]) -> None:
    assert codec.event(REAL_BOOKMARK) == Bookmark("598")


def test_an_error_event_is_the_failure_it_describes() -> None:
    failure = CODEC.event(b'{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old"}}')
    assert isinstance(failure, Refused)
    assert failure.gone


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"null",
        b'{"type":"ADDED"}',
        b'{"type":"ADDED","object":{"metadata":3}}',
        b'{"type":"BOOKMARK","object":{"metadata":{}}}',
    ],
)
def test_what_is_no_event_is_unreadable(line: bytes) -> None:
    with pytest.raises(Unreadable, match="event:"):
        CODEC.event(line)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=6), st.data())
def test_lines_come_out_as_they_went_in_however_they_are_cut(texts: list[str], data: st.DataObject) -> None:
    """Also with U+0085 or U+2028 in them, at which text would be split into lines but JSON is not."""
    stream = b"".join(json.dumps(text, ensure_ascii=False).encode() + b"\n" for text in texts)
    lines, found, rest = Lines(), list[bytes](), stream
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        found += lines.feed(rest[:size])
        rest = rest[size:]
    assert [json.loads(line) for line in found] == texts


def test_empty_lines_are_nothing() -> None:
    assert Lines().feed(b"\n \n{}\n\r\n") == [b"{}"]
