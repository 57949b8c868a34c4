"""Our own annotations: what they are called, where they mean something, and what they may say.

An API server takes any annotation, so a misspelt one is refused nowhere but here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from signalbox.resources.problems import Origin, Problem
from signalbox.resources.suggestions import nearest

if TYPE_CHECKING:
    from signalbox.resources.explain import Lines
    from signalbox.resources.metadata import Resource

DOMAIN = "signalbox.dev/"
STICKY_HEADER = f"{DOMAIN}sticky-header"
PORT = f"{DOMAIN}port"

_MEANT_FOR = {STICKY_HEADER: ("InferenceModel", "InferenceModelRewrite"), PORT: ("Pod",)}
_PORT = re.compile(r"[0-9]{1,5}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,256}")


def annotation_problems(resource: Resource, origin: Origin, lines: Lines | None) -> Iterator[Problem]:
    """Yield what is wrong with the annotations of an object that begin with our domain; others are nobody's business.

    ``lines`` maps a path in the document to its line.
    """
    for name, value in resource.metadata.annotations.items():
        if not name.startswith(DOMAIN):
            continue
        found = _wrong(name, value, resource.kind)
        if found is not None:
            place = origin._replace(line=lines(("metadata", "annotations", name))) if lines else origin
            field = f'metadata.annotations["{name}"]'
            yield Problem(place, resource.kind, resource.metadata.name, field, *found)


def _wrong(name: str, value: str, kind: str) -> tuple[str, str] | None:
    """The message and the fix, if there is anything to mend."""
    kinds = _MEANT_FOR.get(name)
    if kinds is None:
        guess = nearest(name.removeprefix(DOMAIN), [known.removeprefix(DOMAIN) for known in _MEANT_FOR])
        fix = f"did you mean '{DOMAIN}{guess}'?" if guess else f"use one of {', '.join(_MEANT_FOR)}"
        return "is not a known annotation", fix
    if kind not in kinds:
        return f"has no effect on {kind}", f"write it on {' or '.join(kinds)}, or remove it"
    if name == STICKY_HEADER and not _HEADER_NAME.fullmatch(value.strip()):
        return f"{value.strip()!r} is not the name of a request header", "write one such as x-session-id"
    if name == PORT and not (_PORT.fullmatch(value) and 0 < int(value) < 65536):
        return f"{value!r} is not a port", "write a number from 1 to 65535 in quotes, such as '8000'"
    return None
