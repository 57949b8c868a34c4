"""The kinds of values that plugin parameters and the configuration take."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, StrictFloat, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from signalbox.resources.strict import Integer, describe, fault


@dataclass(frozen=True)
class Bounds:
    """Limits of a number: ``minimum`` and ``maximum`` belong to the range, ``above`` does not."""

    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        written = handler(schema)
        for keyword, limit in (("minimum", self.minimum), ("maximum", self.maximum), ("exclusiveMinimum", self.above)):
            if limit is not None:
                written[keyword] = limit
        return written

    def _check(self, value: float) -> float:
        try:
            number = float(value)
        except OverflowError:  # an integer that no float holds
            number = math.inf
        if not math.isfinite(number):
            raise fault(f"must be a finite number, got {number}", "write a plain number")
        low = self.minimum if self.minimum is not None else -math.inf
        high = self.maximum if self.maximum is not None else math.inf
        if value < low or value > high or (self.above is not None and value <= self.above):
            raise fault(f"must be {self._wanted()}, got {value:g}", "use a number in that range")
        return value

    def _wanted(self) -> str:
        parts = []
        if self.above is not None:
            parts.append(f"more than {self.above:g}")
        if self.minimum is not None:
            parts.append(f"at least {self.minimum:g}")
        if self.maximum is not None:
            parts.append(f"at most {self.maximum:g}")
        return " and ".join(parts)


Number = Annotated[StrictFloat, Bounds()]
Fraction = Annotated[StrictFloat, Bounds(minimum=0, maximum=1)]
NotNegative = Annotated[StrictFloat, Bounds(minimum=0)]
Positive = Annotated[StrictFloat, Bounds(above=0)]
Count = Annotated[Integer, Bounds(minimum=0)]
PositiveCount = Annotated[Integer, Bounds(minimum=1)]
BlockTokens = Annotated[Integer, Bounds(minimum=1, maximum=65_536)]
"""Tokens to a block of a prefix index. Engines have 1 to some hundreds; more than a prompt has would match nothing."""

LONGEST = 9.2e9
"""Seconds, the longest a duration can be in Go."""

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_DURATION = re.compile(rf"0|({_PART.pattern})+")


def _duration(value: object) -> object:
    if isinstance(value, float) and 0 <= value < math.inf:
        return value  # a default, already in seconds
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        raise fault(f"expected a duration, got {describe(value)}", "write a number with a unit, like '200ms' or '5m'")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(value))
    if seconds > LONGEST:
        raise fault(f"{describe(value)} is longer than {LONGEST / 31_536_000:.0f} years", "write a shorter duration")
    return seconds


Duration = Annotated[float, BeforeValidator(_duration), WithJsonSchema({"type": "string", "examples": ["200ms", "5m"]})]
"""Seconds; in documents a duration as Go writes it: ``200ms``, ``1m30s``."""

_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?([kMGTPE]|[KMGTPE]i)?")
_FACTORS = {letter: 1000.0**power for power, letter in enumerate("kMGTPE", 1)} | {
    f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", 1)
}


def _quantity(value: object) -> object:
    number = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    elif isinstance(value, str) and _QUANTITY.fullmatch(value):
        digits = value.rstrip("kKMGTPEi")
        number = float(digits) * _FACTORS.get(value[len(digits) :], 1.0)
    if not 0 <= number < math.inf:
        raise fault(f"expected a quantity, got {describe(value)}", "write a number like 500, '5k' or '10Gi'")
    return number


Quantity = Annotated[
    float, BeforeValidator(_quantity), WithJsonSchema({"type": ["string", "integer"], "examples": ["10Gi", 500]})
]
"""A number; in documents a Kubernetes quantity: ``500``, ``5k``, ``10Gi``. 0 means no limit."""
