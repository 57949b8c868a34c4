"""The cost of each endpoint for one request, in seconds. Pure functions over arrays of one entry an endpoint."""

from __future__ import annotations

import msgspec
import numpy as np

from signalbox.pool import Floats

KV_READ_TOKENS = 700.0
"""Tokens of KV cache that attention reads in the time in which one prompt token is computed. Two bytes for each K and V
value are read where a prompt token takes two operations for each parameter: 640 for Llama 3.1 8B on an H100, 1,240 on
an A100. The term it scales is small, so one number serves."""

SEQUENCE_TOKENS = 0.8
"""What a decoding sequence adds to a step besides its reads (scheduling, sampling), in prompt tokens: 30 us where one
takes 33 us."""


class Weights(msgspec.Struct, frozen=True):
    """What the terms count, against a second of this request's own wait for its first token."""

    later: float
    """A second by which this request's prefill delays those that are to come."""
    decode: float
    """A second of this request's own answer."""


class Outlook(msgspec.Struct, frozen=True):
    """The endpoints as one request finds them; every array has one entry for each candidate."""

    uncached: Floats
    """Prompt tokens of this request that the endpoint would have to compute."""
    ahead: Floats
    """Prompt tokens of others that it computes before."""
    requests: Floats
    """Requests it has, waiting and decoding."""
    context: Floats
    """Tokens of prompts and expected answers of these requests."""
    seconds_per_token: Floats
    """Time to prefill one."""
    stall: Floats
    """What a second counts by which one of these requests is delayed: see `stall_price`."""
    arrivals: float
    """Requests a second that come to one endpoint."""
    answer_tokens: float
    """Expected length of the answer."""


MOST_PRESSURE = 1.5
PRESSURE_POWER = 5


def pressure(slow_seconds: float, target_seconds: float) -> float:
    """Return how much the pace of answers matters now: 1 while nine of ten just keep to the target, little where they
    keep to two thirds of it (0.13), since there is time to spare, and `MOST_PRESSURE` at most."""
    return min(float((slow_seconds / target_seconds) ** PRESSURE_POWER), MOST_PRESSURE)


def stall_price(token_seconds: Floats, target_seconds: float, weight: float) -> Floats:
    """Return what delaying an answer by a second counts: ``weight`` where its tokens come at the target pace, and as
    the square of their pace elsewhere.

    Without the square the sum of all delays would be least where few answers are hit, however hard: long prompts would
    gather on some endpoints, and the answers there crawl.
    """
    relative = token_seconds * (1.0 / target_seconds)
    return weight * relative * relative


def seconds(outlook: Outlook, weights: Weights) -> Floats:
    """Return the cost of each endpoint: with s for `Outlook.seconds_per_token`, ::

        s * (ahead + uncached * (1 + requests * stall + later * arrivals * s * (ahead + uncached / 2))
             + decode * answer_tokens * (context / KV_READ_TOKENS + requests * SEQUENCE_TOKENS))

    The wait; this request's own prefill, counted for itself, for each request it stalls (for chunks of a prompt share
    their steps with answers in progress) and for each one that arrives before the queue is empty, which waits the
    longer for it; and this request's answer, every token of which takes the longer the more neighbours it has.
    """
    per_step = weights.decode * outlook.answer_tokens
    later = outlook.uncached * 0.5
    later += outlook.ahead
    later *= outlook.seconds_per_token
    later *= weights.later * outlook.arrivals
    cost = outlook.stall * outlook.requests
    cost += later
    cost += 1.0
    cost *= outlook.uncached
    cost += outlook.ahead
    cost += outlook.context * (per_step / KV_READ_TOKENS)
    cost += outlook.requests * (per_step * SEQUENCE_TOKENS)
    cost *= outlook.seconds_per_token
    return cost


def room(context: Floats, tokens: float, per_token: Floats, hold_seconds: Floats) -> Floats:
    """Return the wait for KV cache, in seconds.

    ``context`` are tokens that requests in flight hold or will hold, ``tokens`` what this one will, ``per_token`` the
    share of the cache that a token takes (0 where the server does not say, which waits for nothing). What does not fit
    waits for others to end: they hold ``context`` for ``hold_seconds`` on average, so it comes free at ``context /
    hold_seconds`` tokens a second.
    """
    held = np.maximum(context, 1.0)
    beyond = (held + tokens) * per_token - 1.0
    np.maximum(beyond, 0.0, out=beyond)
    wait: Floats = beyond * hold_seconds / np.maximum(held * per_token, 1e-9)
    return wait
