"""The oracle: it knows the future of every server, and nothing of the requests to come.

For each server it forks the engine, submits the request to the fork and lets it run until everybody there has ended.
That gives this request's time to first token and time per output token as they will be, and those of everybody it
meets, with true caches, GPU speeds, adapters and lengths of answers. It chooses the server on which all of them
together become least worse.

What a request is worth follows what is judged, nine of ten requests within the SLO: a wait counts up to the limit, and
a request that is over it anyway has nothing more to lose. So under load the oracle gives up some requests, mostly those
with the longest prompts, on few servers, where a policy that minimises a mean would let them slow down everybody.

It is the best schedule we know how to find and no bound: it decides one request at a time and never for the sake of
later ones. `signalbox.lab.bound` has a rate that no policy can exceed.
"""

from __future__ import annotations

import math

from signalbox.engine import Engine, Request, RequestState, RequestTooLarge
from signalbox.lab.policies.peer import Peer, any_of, contender
from signalbox.lab.slo import Slo
from signalbox.lab.stage import Stage
from signalbox.pool import Endpoint, Rows
from signalbox.scheduling import Cycle

PACE_SECONDS = 1.5
"""What an answer at the limit of its pace costs, in seconds of waiting for a first token. Chosen on variant 2 of the
contest's scenarios among 0.7, 1.5 and 3."""

_STEEPNESS = 4
"""The cost of a pace grows with this power: one far below the limit costs next to nothing."""

_END = 1e15  # seconds: after everything

Losses = dict[str, float]
"""What each request of a server will cost, by its id."""


def loss(state: RequestState, slo: Slo) -> float:
    """What a request costs that has ended, in seconds: its wait for the first token, and `PACE_SECONDS` for an answer
    at the limit of its pace, neither more than at the limit."""
    if state.first_token_at is None:
        return slo.ttft + PACE_SECONDS
    after = state.request.output_tokens - 1
    pace = (state.last_token_at - state.first_token_at) / (after * slo.tpot) if after else 0.0
    wait = state.first_token_at - state.arrival
    return min(wait, slo.ttft) + PACE_SECONDS * min(pace, 1.0) ** _STEEPNESS


class Oracle(Peer):
    """Tries every server in a fork of its engine."""

    def __init__(self, stage: Stage, slo: Slo | None = None) -> None:
        self._stage = stage
        self._slo = slo or Slo()
        self._known: dict[int, Losses] = {}
        """By row: what everybody there will cost. It stays true until the next request is sent there."""

    def choose(self, cycle: Cycle, rows: Rows) -> int:
        """Choose the row where the losses grow least; the first of equals."""
        request = self._stage.request
        assert request is not None
        least, best, after = math.inf, -1, Losses()
        for row in rows.tolist():
            losses = self._tried(self._stage.engines[row], request.asked, cycle.now)
            if losses is None:
                continue
            known = self._known.get(row, {})
            more = sum([value - known.get(name, 0.0) for name, value in losses.items()])
            if more < least:
                least, best, after = more, row, losses
        if best < 0:
            return any_of(cycle, rows)  # it fits nowhere
        self._known[best] = after
        return best

    def left(self, endpoint: Endpoint) -> None:
        """Its row will be another's."""
        self._known.pop(endpoint.row, None)

    def _tried(self, engine: Engine, asked: Request, now: float) -> Losses | None:
        """What everybody will cost if this engine gets the request; ``None`` where it cannot take it."""
        fork = engine.fork()
        try:
            fork.submit(asked, now)
        except RequestTooLarge:
            return None
        states = fork.in_flight
        fork.step(_END)
        return {state.request.id: loss(state, self._slo) for state in states}


ORACLE = contender("oracle", Oracle)
