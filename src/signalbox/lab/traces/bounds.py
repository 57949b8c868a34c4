"""What a request of a trace may ask for, whatever its format: numbers that the arrays and clocks of a replay hold."""

from __future__ import annotations

import math
from collections.abc import Callable

from signalbox.lab.traces.problem import InvalidTrace
from signalbox.lab.workload import TraceRequest

MOST_TOKENS = 1 << 31
"""Longest prompt, answer or limit, in tokens; sums of them stay far below 64 bits."""

MOST_PRIORITY = (1 << 31) - 1
"""Of either sign, as the ``int32`` of an InferenceObjective."""

MOST_SECONDS = 1e11
"""Furthest time from zero: later than any date, and near enough that a double tells milliseconds."""

Problem = Callable[[str, str], InvalidTrace]
"""Makes an error of a field's name and what is wrong with it."""


def bounded(
    request: TraceRequest,
    problem: Problem,
    *,
    at: str = "timestamp",
    prompt: str = "input_length",
    output: str = "output_length",
    unit: float = 1.0,
) -> TraceRequest:
    """The same request; raises what ``problem`` makes where it cannot be replayed.

    ``at``, ``prompt`` and ``output`` are what the format calls these fields, ``unit`` how many of its time's are a
    second.
    """
    if not math.isfinite(request.at) or abs(request.at) > MOST_SECONDS:
        raise problem(at, f"{request.at * unit:g} is beyond {MOST_SECONDS * unit:g}")
    for field, tokens, least in (
        (prompt, request.prompt_tokens, 1),
        (output, request.output_tokens, 1),
        ("max_tokens", request.max_tokens, 1),
    ):
        if tokens is None:
            continue
        if tokens < least:
            raise problem(field, f"{tokens} is below {least}")
        if tokens > MOST_TOKENS:
            raise problem(field, f"{tokens} is above {MOST_TOKENS}")
    if abs(request.priority) > MOST_PRIORITY:
        raise problem("priority", f"{request.priority} is beyond {MOST_PRIORITY} either way")
    return request
