"""The cost of each endpoint for one request, in seconds. Pure functions over arrays of one entry an endpoint."""

from __future__ import annotations

import msgspec
import numpy as np

from signalbox.pool import Floats

OWN_PACE = 2.0
"""What the pace of this request's answer counts, against what it is to each of the others. More than one, as the pace
where long prompts gather is about to be worse than it is found."""


class Weights(msgspec.Struct, frozen=True):
    """What the terms count, against a second of this request's own wait for its first token."""

    later: float
    """A second of the server's time that this request's prefill takes from those that are to come."""
    crowding: float
    """An answer at the target pace, against one that takes no time."""


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
    """What it costs one of these requests to wait for this one's prefill, in seconds: see `stall`."""
    slowness: Floats
    """The square of the pace at which this request's answer is expected, over the target's."""
    answer_tokens: float
    """Expected length of the answer."""


def stall(delay: Floats, token_seconds: Floats, target_seconds: float, tokens: float, shortness: float) -> Floats:
    """Return what delaying one answer in progress by ``delay`` seconds costs: how much the square of its seconds per
    token, over the target, grows.

    An answer of n tokens at a pace t comes at ``t + delay / n`` instead, so its square grows by ``2 * t * delay / n +
    (delay / n) ** 2``. Whose n it is nobody knows, but a long answer is in progress for longer: the chance to meet one
    of n tokens is as n. Averaged so, 1/n is ``1 / tokens`` and 1/n**2 is ``shortness / tokens``, with ``tokens`` the
    mean of n and ``shortness`` the mean of 1/n over all answers.

    The square, and not the delay itself, because the sum of all delays is least where few answers are hit, however
    hard. And by answer, because a stall that 500 tokens absorb ruins an answer of ten.
    """
    cost = delay * shortness
    cost += 2.0 * token_seconds
    cost *= delay
    cost *= 1.0 / (tokens * target_seconds * target_seconds)
    return cost


def slowness(token_seconds: Floats, target_seconds: float) -> Floats:
    """Return what an answer at this pace costs: the square of its seconds per token, over the target's."""
    cost = token_seconds / target_seconds
    cost *= cost
    return cost


def seconds(outlook: Outlook, weights: Weights) -> Floats:
    """Return the cost of each endpoint: with s for `Outlook.seconds_per_token`, ::

        s * (ahead + (1 + later) * uncached) + crowding * (requests * stall + OWN_PACE * slowness)

    The wait; this request's own prefill, counted for itself and for those to come, who have the server for so much
    less; what it is to each of the neighbours, for chunks of a prompt share their steps with answers in progress; and
    what its own pace will be.
    """
    cost = outlook.uncached * (1.0 + weights.later)
    cost += outlook.ahead
    cost *= outlook.seconds_per_token
    cost += (outlook.stall * outlook.requests + outlook.slowness * OWN_PACE) * weights.crowding
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
