"""What `signalbox.scheduling.least_cost.costs` says, of a handful of endpoints and over lists: the same to the bit, as
the operations come in the same order."""

from __future__ import annotations

from collections.abc import Sequence

from signalbox.scheduling.least_cost.costs import OWN_PACE, Weights

Numbers = Sequence[float]


class AnswersFew:
    """What `stall` and `slowness` are told of answers."""

    def __init__(self, paces: Numbers, target_seconds: float, tokens: float, shortness: float) -> None:
        self.paces = paces
        """Seconds per output token on each endpoint."""
        self.target_seconds = target_seconds
        self.tokens = tokens
        self.shortness = shortness


def seconds_few(
    weights: Weights,
    uncached: Numbers,
    ahead: Numbers,
    requests: Numbers,
    speeds: Numbers,
    answers: AnswersFew,
) -> list[float]:
    """Return `seconds` of an `Outlook` of these, with its `stall` and `slowness`."""
    own = 1.0 + weights.later
    tokens = max(answers.tokens, 1.0)
    target = answers.target_seconds
    scale = 1.0 / (tokens * target * target)
    shortness, crowding = answers.shortness, weights.crowding
    costs = []
    for new, before, count, speed, pace in zip(uncached, ahead, requests, speeds, answers.paces, strict=True):
        delay = speed * new
        stall = (delay * shortness + 2.0 * pace) * delay * scale
        slowness = pace / target
        slowness *= slowness
        slowness *= OWN_PACE
        costs.append((new * own + before) * speed + (stall * count + slowness) * crowding)
    return costs


def room_few(context: Numbers, tokens: float, per_token: Numbers, hold_seconds: Numbers) -> list[float]:
    """Return `room`."""
    waits = []
    for tokens_there, share, hold in zip(context, per_token, hold_seconds, strict=True):
        held = max(tokens_there, 1.0)
        beyond = max((held + tokens) * share - 1.0, 0.0)
        waits.append(beyond * hold / max(held * share, 1e-9))
    return waits
