"""Which headers a picker reads, and what they ask of it."""

from __future__ import annotations

from typing import Final

from envoy.service.ext_proc.v3.external_processor_pb2 import HttpHeaders

from signalbox.director import Arrival
from signalbox.extproc.decoding import Wanted
from signalbox.scheduling.handlers import ENCODER_HEADER, PREFILLER_HEADER
from signalbox.scheduling.producers import KV_SOURCE_HEADER

# Each under llm-d's name, which counts where both are sent, and under that of the Gateway API Inference Extension.
OBJECTIVE = ("x-llm-d-inference-objective", "x-gateway-inference-objective")
REWRITE = ("x-llm-d-model-name-rewrite", "x-gateway-model-name-rewrite")
FAIRNESS = ("x-llm-d-inference-fairness-id", "x-gateway-inference-fairness-id")
SLO_TTFT = ("x-llm-d-slo-ttft-ms", "x-slo-ttft-ms")
SLO_TPOT = ("x-llm-d-slo-tpot-ms", "x-slo-tpot-ms")
OWNED = frozenset({*OBJECTIVE, *REWRITE, *FAIRNESS, PREFILLER_HEADER, ENCODER_HEADER, KV_SOURCE_HEADER})
"""Request headers that speak to the picker, or that only the picker may set: they are taken off what a client sends."""
DROPPED = "x-llm-d-request-dropped-reason"
"""Set on the answers to requests that were dropped though nothing was wrong with them."""

Values = dict[bytes, bytes]
"""Headers by name, in lower case."""

PATH: Final = b":path"
REQUEST_ID: Final = b"x-request-id"
CONTENT_LENGTH: Final = b"content-length"
STATUS: Final = b":status"
CONTENT_TYPE: Final = b"content-type"

_OWNED: Final = frozenset(name.encode() for name in OWNED)
_ASKING: Final = tuple(
    tuple(name.encode() for name in names) for names in (OBJECTIVE, REWRITE, SLO_TTFT, SLO_TPOT, FAIRNESS)
)
_ANY_ASKING: Final = frozenset(name for names in _ASKING for name in names)

READ_IN_REQUESTS: Final = Wanted(_OWNED | _ANY_ASKING | {PATH, REQUEST_ID, CONTENT_LENGTH})
READ_IN_ANSWERS: Final = Wanted((STATUS, CONTENT_TYPE))

_NO_HEADERS: Final[dict[str, str]] = {}


def values_of(message: HttpHeaders, wanted: Wanted | None) -> Values:
    """The ``wanted`` headers of a message, all where that is ``None``. Envoy fills ``raw_value``, others ``value``."""
    values: Values = {}
    for header in message.headers.headers:
        name = header.key.encode().lower()  # as bytes: only ASCII has cases in header names
        if wanted is None or name in wanted.names:
            values[name] = header.raw_value or header.value.encode()
    return values


def owned(values: Values) -> list[str]:
    """The headers among these that must not reach a model server."""
    return [name.decode() for name in values if name in _OWNED]


def arrival(values: Values, body: bytes | None, subset: tuple[str, ...] | None, everything: bool) -> Arrival:
    """The request as the director takes it; with ``everything`` it carries all headers."""
    get = values.get
    objective = rewrite = ttft = tpot = fairness = None
    for name in values:
        if name in _ANY_ASKING:
            objective, rewrite, ttft, tpot, fairness = [_first(values, names) for names in _ASKING]
            break
    return Arrival(
        get(PATH, b"").decode("latin-1"),
        body,
        get(REQUEST_ID, b"").decode("latin-1"),
        _text(objective),
        _text(rewrite),
        _seconds(ttft),
        _seconds(tpot),
        {name.decode("latin-1"): value.decode("latin-1") for name, value in values.items()}
        if everything
        else _NO_HEADERS,
        subset,
        _text(fairness) or "",
    )


_SHORT: Final = 7
_SHORTEST_LONG: Final = 10 ** (_SHORT - 1)
"""The least number of `_SHORT` digits: a limit of that many bytes, and the usual one is of more, allows all shorter."""


def longer_than(values: Values, limit: int) -> bool:
    """Whether the headers announce a body of more than ``limit`` bytes."""
    length = values.get(CONTENT_LENGTH, b"")
    if len(length) < _SHORT and limit >= _SHORTEST_LONG:
        return False
    return length.isdigit() and (len(length) > 15 or int(length) > limit)


def length_is(values: Values, size: int) -> bool:
    """Whether the headers announce a body of exactly ``size`` bytes."""
    length = values.get(CONTENT_LENGTH, b"")
    return length.isdigit() and len(length) <= 15 and int(length) == size


def _first(values: Values, names: tuple[bytes, ...]) -> bytes | None:
    return next((values[name] for name in names if name in values), None)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def _seconds(milliseconds: bytes | None) -> float | None:
    """A latency objective in seconds; ``None`` where none was sent or it is no positive number."""
    if milliseconds is None:
        return None
    try:
        value = float(milliseconds) / 1000
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None
