"""What a field may hold, as checks that a schema can be generated from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import AfterValidator

from signalbox.resources.strict import fault

_Entries = TypeVar("_Entries", bound=Sized)
_Items = TypeVar("_Items", bound=Sequence[object])

INT64 = 2**63


@dataclass(frozen=True, slots=True)
class Range:
    """The integers from ``minimum`` to ``maximum``."""

    minimum: int
    maximum: int

    def __call__(self, value: int) -> int:
        """Return ``value``, or raise a fault."""
        if not self.minimum <= value <= self.maximum:
            message = f"must be from {self.minimum} to {self.maximum}, got {value}"
            raise fault(message, "use a number in that range")
        return value


@dataclass(frozen=True, slots=True)
class Text:
    """Strings of ``minimum`` to ``maximum`` characters that match ``pattern`` as a whole; ``wanted`` describes them."""

    minimum: int
    maximum: int | None
    pattern: re.Pattern[str] | None = None
    wanted: str = ""

    def __call__(self, value: str) -> str:
        """Return ``value``, or raise a fault."""
        if not value and self.minimum:
            raise fault("must not be empty", f"write {self.wanted or 'a value'}")
        if self.maximum is not None and len(value) > self.maximum:
            raise fault(f"must be at most {self.maximum} characters, got {len(value)}", "shorten it")
        if self.pattern is not None and not self.pattern.fullmatch(value):
            raise fault(f"{value!r} is not allowed here", f"write {self.wanted}")
        return value


@dataclass(frozen=True, slots=True)
class Entries:
    """Lists and mappings of ``minimum`` to ``maximum`` entries; ``noun`` is what one entry is called."""

    minimum: int
    maximum: int | None
    noun: str

    def __call__(self, value: _Entries) -> _Entries:
        """Return ``value``, or raise a fault."""
        if len(value) < self.minimum:
            raise fault(f"must hold at least {self.minimum} {self.noun}, got {len(value)}", f"add a {self.noun}")
        if self.maximum is not None and len(value) > self.maximum:
            message = f"must hold at most {self.maximum} {self.noun}s, got {len(value)}"
            raise fault(message, f"remove {len(value) - self.maximum}")
        return value


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A rule of a schema in CEL, with the message an API server gives. A validator beside it enforces the same here.

    ``without_cel`` says the same in the words of a schema alone, for API servers that know no CEL; ``None`` where
    that cannot be said.
    """

    expression: str
    message: str
    without_cel: Mapping[str, Any] | None = None


def bounded(minimum: int, maximum: int) -> AfterValidator:
    """Return a check that an integer lies in ``minimum..maximum``."""
    return AfterValidator(Range(minimum, maximum))


def text(minimum: int, maximum: int | None, pattern: str | None = None, wanted: str = "") -> AfterValidator:
    """Return a check of a string's length, in characters, and of the whole string against ``pattern``."""
    return AfterValidator(Text(minimum, maximum, re.compile(pattern) if pattern else None, wanted))


def entries(minimum: int, maximum: int | None, noun: str) -> AfterValidator:
    """Return a check of the number of entries of a list or mapping; ``noun`` is what one entry is called."""
    return AfterValidator(Entries(minimum, maximum, noun))


def unique_by(attribute: str, alias: str | None = None, *, ignore_case: bool = False) -> AfterValidator:
    """Return a check that no two items of a list have the same value of ``attribute`` (``alias`` in documents).

    Items without a value are left out.
    """

    def check(items: _Items) -> _Items:
        seen: dict[object, int] = {}
        for index, item in enumerate(items):
            value = getattr(item, attribute)
            if value is None or value == "":
                continue
            identity = value.lower() if ignore_case else value
            if identity in seen:
                message = f"{value!r} is already used by entry {seen[identity]}"
                raise fault(message, "use each value once", index, alias or attribute)
            seen[identity] = index
        return items

    return AfterValidator(check)
