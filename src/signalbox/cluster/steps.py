"""What is asked of an API server to follow a collection, what that gives, and how the following is doing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, TypeVar


class Item(Protocol):
    """An object of a collection: its name within its namespace, and the version of its content."""

    @property
    def name(self) -> str:
        """``metadata.name``."""

    @property
    def version(self) -> str:
        """``metadata.resourceVersion``: to be compared for equality only."""


T = TypeVar("T", bound=Item)


@dataclass(frozen=True, slots=True)
class List:
    """Ask for a page of the collection; ``more`` is what the page before ended with."""

    more: str
    limit: int


@dataclass(frozen=True, slots=True)
class Watch:
    """Ask for what changed since ``version``; the server is to end it after ``seconds``."""

    version: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Ask nothing for ``seconds``."""

    seconds: float


Step = List | Watch | Pause


@dataclass(frozen=True, slots=True)
class Put(Generic[T]):
    """An object is there, new or changed."""

    item: T


@dataclass(frozen=True, slots=True)
class Removed:
    """An object is there no more."""

    name: str


Change = Put[T] | Removed


class Phase(StrEnum):
    """How a collection is doing."""

    STARTING = "starting"
    """Not known yet."""
    FOLLOWED = "followed"
    """A watch stands."""
    BROKEN = "broken"
    """Known as it was when the watch broke."""
    ABSENT = "absent"
    """The server has no such kind (404): a CRD that is not installed."""
    FORBIDDEN = "forbidden"
    """We may not see it (403)."""
