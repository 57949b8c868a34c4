"""How a metric is named by a person: ``name`` or ``name{label=value,...}``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_Bad = Callable[[str, str], "InvalidMetricSpec"]
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


class InvalidMetricSpec(ValueError):
    """A metric specification that cannot be read; the message names the field, the text and the fix."""


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric family, narrowed to the series that carry all of ``labels`` (none: every series)."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        pairs = ",".join(f'{name}="{value}"' for name, value in self.labels)
        return f"{self.name}{{{pairs}}}" if pairs else self.name


def parse_spec(text: str, field: str = "metric") -> MetricSpec | None:
    """Read one specification; an empty text gives ``None``: the signal is switched off.

    The grammar is the one of the Gateway API Inference Extension's metric flags: ``name`` or
    ``name{label=value,label2=value2}``, equality only. Values may be put in double quotes, as in PromQL.
    ``field`` is the flag or setting the text came from; errors name it. Raises ``InvalidMetricSpec``.
    """
    stripped = text.strip()
    if not stripped:
        return None

    def bad(what: str, fix: str) -> InvalidMetricSpec:
        return InvalidMetricSpec(f"{field} {text!r}: {what}; {fix}")

    shape = "write name or name{label=value,...}"
    name, brace, rest = stripped.partition("{")
    name = name.rstrip()
    if not brace and "}" in name:
        raise bad("a '}' without its '{'", shape)
    if not name:
        raise bad("the metric name is empty", shape)
    if not _NAME.fullmatch(name):
        raise bad(f"{name!r} is not a metric name", "use letters, digits, '_' and ':' only")
    if not brace:
        return MetricSpec(name)
    pairs, position = [], 0
    while True:
        label, value, position = _pair(rest, position, bad)
        pairs.append((label, value))
        if position >= len(rest):
            raise bad("the '{' is never closed", "end the labels with '}'")
        position += 1
        if rest[position - 1] == "}":
            break
    if rest[position:].strip():
        raise bad(f"there is {rest[position:].strip()!r} after the '}}'", "end the specification at the '}'")
    return MetricSpec(name, tuple(pairs))


def _pair(rest: str, position: int, bad: _Bad) -> tuple[str, str, int]:
    """Read ``label=value`` at ``position``; return both and the position of the ',' or '}' that ends it."""
    end = _first_of(rest, position, "=,}{")
    label, found = rest[position:end].strip(), rest[end : end + 1]
    if found == "{":
        raise bad("there is a second '{'", "write one block of labels")
    if found == "}" and not label:
        if position == 0:
            raise bad("the block of labels is empty", "leave out the '{}'")
        raise bad("a label is missing after ','", "leave out the last ','")
    if not found and not label:
        raise bad("the '{' is never closed", "end the labels with '}'")
    if found != "=":
        raise bad(f"{label!r} is not a pair", "write label=value, with exactly one '='")
    if not label:
        raise bad("a label name is empty", "write label=value")
    if not _LABEL.fullmatch(label):
        raise bad(f"{label!r} is not a label name", "use letters, digits and '_' only")
    start = end + 1
    start += len(rest[start:]) - len(rest[start:].lstrip())
    quoted = _QUOTED.match(rest, start)
    if quoted:
        value = re.sub(r"\\(.)", r"\1", quoted[1])
        end = _first_of(rest, quoted.end(), "=,}{")
        if rest[quoted.end() : end].strip():
            raise bad(f"there is text after the value of {label!r}", "write label=value, with exactly one '='")
    else:
        end = _first_of(rest, start, "=,}{")
        value = rest[start:end].strip()
    if rest[end : end + 1] == "=":
        raise bad(f"the pair of {label!r} has more than one '='", "put a value that holds '=' in double quotes")
    if rest[end : end + 1] == "{":
        raise bad("there is a second '{'", "write one block of labels")
    if not value:
        raise bad(f"the value of {label!r} is empty", "write label=value")
    return label, value, end


def _first_of(text: str, start: int, characters: str) -> int:
    return next((at for at in range(start, len(text)) if text[at] in characters), len(text))
