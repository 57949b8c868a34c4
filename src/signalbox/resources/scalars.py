"""The scalar types the APIs share: names, ports, label keys and values."""

from __future__ import annotations

import re
from collections.abc import Sequence, Sized
from datetime import datetime
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator

from signalbox.resources.strict import Integer, describe, fault

_Entries = TypeVar("_Entries", bound=Sized)
_Items = TypeVar("_Items", bound=Sequence[object])

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")


def bounded(minimum: int, maximum: int) -> AfterValidator:
    """Return a check that an integer lies in ``minimum..maximum``."""

    def check(value: int) -> int:
        if not minimum <= value <= maximum:
            raise fault(f"must be from {minimum} to {maximum}, got {value}", "use a number in that range")
        return value

    return AfterValidator(check)


def text(minimum: int, maximum: int, pattern: str | None = None, wanted: str = "") -> AfterValidator:
    """Return a check of a string's length, in characters, and of the whole string against ``pattern``."""
    compiled = re.compile(pattern) if pattern else None

    def check(value: str) -> str:
        if not value and minimum:
            raise fault("must not be empty", f"write {wanted or 'a value'}")
        if len(value) > maximum:
            raise fault(f"must be at most {maximum} characters, got {len(value)}", "shorten it")
        if compiled is not None and not compiled.fullmatch(value):
            raise fault(f"{value!r} is not allowed here", f"write {wanted}")
        return value

    return AfterValidator(check)


def entries(minimum: int, maximum: int, noun: str) -> AfterValidator:
    """Return a check of the number of entries of a list or mapping; ``noun`` is what one entry is called."""

    def check(value: _Entries) -> _Entries:
        if len(value) < minimum:
            raise fault(f"must hold at least {minimum} {noun}, got {len(value)}", f"add a {noun}")
        if len(value) > maximum:
            raise fault(f"must hold at most {maximum} {noun}s, got {len(value)}", f"remove {len(value) - maximum}")
        return value

    return AfterValidator(check)


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


def _label_key(value: str) -> str:
    prefix, slash, name = value.rpartition("/")
    if slash and not (len(prefix) <= 253 and re.fullmatch(_SUBDOMAIN, prefix)):
        raise fault(f"{value!r} has a prefix that is not a DNS name", "write DOMAIN/NAME or NAME")
    if not (len(name) <= 63 and _QUALIFIED_NAME.fullmatch(name)):
        raise fault(
            f"{value!r} is not a label key", "write up to 63 letters, digits, '-', '_' or '.', optionally after DOMAIN/"
        )
    return value


def _timestamp(value: object) -> object:
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = datetime.min
    else:
        raise fault(f"expected a time, got {describe(value)}", "write it like '2025-03-13T09:30:00Z'")
    if moment.tzinfo is None:
        raise fault(f"{value!s} is not a time with a time zone", "write it like '2025-03-13T09:30:00Z'")
    return moment


Port = Annotated[Integer, bounded(1, 65535)]
DNSLabel = Annotated[str, text(1, 63, _LABEL, "lower-case letters, digits and '-'")]
DNSSubdomain = Annotated[str, text(1, 253, _SUBDOMAIN, "lower-case letters, digits, '-' and '.'")]
ServiceName = Annotated[
    str, text(1, 63, r"[a-z]([-a-z0-9]*[a-z0-9])?", "a letter, then lower-case letters, digits and '-'")
]
Group = Annotated[str, text(0, 253, rf"({_SUBDOMAIN})?", "an API group like 'inference.networking.k8s.io'")]
Kind = Annotated[str, text(1, 63, r"[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?", "a kind like 'InferencePool'")]
ObjectName = Annotated[str, text(1, 253)]
Hostname = Annotated[str, text(1, 253, rf"(\*\.)?{_SUBDOMAIN}", "a host name like 'example.com' or '*.example.com'")]
LabelKey = Annotated[str, AfterValidator(_label_key)]
LabelValue = Annotated[
    str, text(0, 63, r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", "letters, digits, '-', '_' and '.'")
]
Labels = dict[LabelKey, LabelValue]
Timestamp = Annotated[datetime, BeforeValidator(_timestamp)]
