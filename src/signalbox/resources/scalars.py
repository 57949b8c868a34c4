"""The scalar types the APIs share: names, ports, label keys and values."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from signalbox.resources.limits import INT64, bounded, text
from signalbox.resources.strict import Integer, describe, fault

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")


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
Int64 = Annotated[Integer, bounded(-INT64, INT64 - 1)]
DNSLabel = Annotated[str, text(1, 63, _LABEL, "lower-case letters, digits and '-'")]
DNSSubdomain = Annotated[str, text(1, 253, _SUBDOMAIN, "lower-case letters, digits, '-' and '.'")]
ServiceName = Annotated[
    str, text(1, 63, r"[a-z]([-a-z0-9]*[a-z0-9])?", "a letter, then lower-case letters, digits and '-'")
]
Group = Annotated[str, text(0, 253, rf"^$|^{_SUBDOMAIN}$", "an API group like 'inference.networking.k8s.io'")]
Kind = Annotated[str, text(1, 63, r"[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?", "a kind like 'InferencePool'")]
ObjectName = Annotated[str, text(1, 253)]
Hostname = Annotated[str, text(1, 253, rf"(\*\.)?{_SUBDOMAIN}", "a host name like 'example.com' or '*.example.com'")]
LabelKey = Annotated[str, AfterValidator(_label_key)]
LabelValue = Annotated[
    str, text(0, 63, r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", "letters, digits, '-', '_' and '.'")
]
Labels = dict[LabelKey, LabelValue]
Timestamp = Annotated[datetime, BeforeValidator(_timestamp)]
