"""Lists and watch events as bytes, read into the few fields that are wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from signalbox.cluster.errors import Refused, refusal
from signalbox.cluster.steps import Item

T = TypeVar("T", bound=Item)


class Unreadable(Exception):
    """Bytes that are no list, or no event; the message says where it stops making sense."""


class _ListMeta(msgspec.Struct):
    version: str = msgspec.field(name="resourceVersion", default="")
    more: str = msgspec.field(name="continue", default="")


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _MarkMeta(msgspec.Struct):
    version: str = msgspec.field(name="resourceVersion")


class _Mark(msgspec.Struct):
    metadata: _MarkMeta


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list: its objects, the version it shows, and where the next one begins, if there is one."""

    items: list[T]
    version: str
    more: str


@dataclass(frozen=True, slots=True)
class Event(Generic[T]):
    """One line of a watch: a change of an object."""

    kind: str
    item: T


@dataclass(frozen=True, slots=True)
class Bookmark:
    """One line of a watch: the version it has come to. Its object is an empty one, without even a name."""

    version: str


class Codec(Generic[T]):
    """Reads the objects of a collection as ``item``, a Struct; fields it does not name are skipped unread."""

    def __init__(self, item: type[T]) -> None:
        fields: Any = [("metadata", _ListMeta), ("items", list[item] | None, None)]  # type: ignore[valid-type]
        page: Any = msgspec.defstruct(f"{item.__name__}List", fields)
        self._page = msgspec.json.Decoder(page)
        self._event = msgspec.json.Decoder(_Event)
        self._mark = msgspec.json.Decoder(_Mark)
        self._item = msgspec.json.Decoder(item)

    def page(self, data: bytes) -> Page[T]:
        """Return one page of a list. Raises `Unreadable`."""
        try:
            read = self._page.decode(data)
        except msgspec.MsgspecError as error:
            raise Unreadable(f"list: {error}") from None
        return Page(read.items or [], read.metadata.version, read.metadata.more)

    def event(self, line: bytes) -> Event[T] | Bookmark | Refused:
        """Return what one line of a watch says; an event of type ERROR is the failure it describes.

        Raises:
            Unreadable: it is no event.
        """
        try:
            read = self._event.decode(line)
            if read.type == "ERROR":
                return refusal(read.object)
            if read.type == "BOOKMARK":
                return Bookmark(self._mark.decode(read.object).metadata.version)
            return Event(read.type, self._item.decode(read.object))
        except msgspec.MsgspecError as error:
            raise Unreadable(f"event: {error}") from None


class Lines:
    """Chunks into lines, which end with a line feed and nothing else."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that this chunk completes, without their ends; empty ones are left out."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [line for line in lines if line.strip()]
