"""``least-cost-scorer``."""

from __future__ import annotations

import numpy as np

from signalbox.pool import Endpoint, Floats, Rows, few
from signalbox.scheduling.framework import Cycle, Decision
from signalbox.scheduling.least_cost import (
    Answers,
    AnswersFew,
    Outlook,
    Paces,
    Sent,
    Slots,
    Speeds,
    Strangers,
    Weights,
    room,
    room_few,
    seconds,
    seconds_few,
    slowness,
    stall,
)
from signalbox.scheduling.least_cost.paces import LASTING
from signalbox.scheduling.observation import Finished, FirstToken
from signalbox.scheduling.parameters import NotNegative, Positive
from signalbox.scheduling.plugin import Parameters, Plugin, ScorerPlugin

_NEAR = 0.01
_NEAR_SECONDS = 0.001
"""Costs this close to the least, as a share and in seconds, are equal: the picker then spreads by what is in flight."""


class LeastCostParameters(Parameters):
    """Parameters of least-cost-scorer."""

    token_target_ms: Positive = 50.0
    """Milliseconds per output token that users still find fluent. What slows answers down is measured against it."""
    later_weight: NotNegative = 1.0
    """What a second of the server's time counts that computing this prompt takes from requests to come."""
    crowding_weight: NotNegative = 1.5
    """What an answer at the target pace costs, in seconds; others by the square of their pace."""
    adapter_load_ms: NotNegative = 100.0
    """Milliseconds to load an adapter that is not in memory."""


class LeastCostScorer(ScorerPlugin[LeastCostParameters]):
    """Endpoints where this request's first token is expected soonest, and where it delays others least, are better.

    Formula: ``least / cost`` of the costs in seconds, 1 within 1 % and 1 ms of the least. A cost sums: prompt tokens
    queued there and this prompt's uncached ones over the prefill speed; the latter again laterWeight times for
    requests to come; crowdingWeight times the square of the time per output token over tokenTargetMs: what this prompt
    adds to it for each request there, and twice it for this one's answer; the wait for KV cache where it does not fit;
    the wait for an adapter's weights or slot, and a price for the slot it takes. Speeds and answers are learned from
    streamed answers, for each endpoint, and kept on a reload. Without metrics it goes by what is in flight. Source:
    none, see docs/least-cost.md.
    """

    type = "least-cost-scorer"
    use = "Alone in a profile: it weighs prefix, queue, memory and adapters in one unit. Mixed GPUs, long prompts."
    reads_prefix = True

    def __init__(self, parameters: LeastCostParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._weights = Weights(self.parameters.later_weight, self.parameters.crowding_weight)
        self._speeds = Speeds()
        self._answers = Answers()
        self._paces = Paces()
        self._sent = Sent()  # lately
        self._lasting = Sent()  # within the time that a request takes
        self._slots = Slots()
        self._strangers = Strangers()
        self._prompt = 1024.0  # mean of what prompts left to compute, in tokens

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return the least cost over each endpoint's."""
        cost = self.costs(cycle, rows)
        least = float(np.minimum.reduce(cost))
        cost += 1e-9
        scores: Floats = (least * (1.0 + _NEAR) + _NEAR_SECONDS) / cost
        return np.minimum(scores, 1.0, out=scores)

    def score_few(self, cycle: Cycle, rows: list[int]) -> list[float]:
        """Return the same."""
        costs = self._costs_few(cycle, rows)
        near = sorted(costs)[0] * (1.0 + _NEAR) + _NEAR_SECONDS
        scores = [near / (cost + 1e-9) for cost in costs]
        return [score if score < 1.0 else 1.0 for score in scores]

    def costs(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return the cost of each endpoint in seconds."""
        columns, answers = cycle.columns, self._answers
        outlook = self.outlook(cycle, rows)
        cost = seconds(outlook, self._weights)
        tokens = cycle.prompt_tokens + outlook.answer_tokens
        context, per_token = outlook.context, columns.kv_per_token[rows]
        if float(np.maximum.reduce((context + tokens) * per_token)) > 1.0:
            cost += room(context, tokens, per_token, answers.hold(columns.size)[rows])
        if self._slots.is_adapter(columns, cycle.target):
            cost += self.adapter_wait(cycle, rows)
        return cost

    def outlook(self, cycle: Cycle, rows: Rows) -> Outlook:
        """Return how the endpoints are thought to be."""
        columns, answers, prefix = cycle.columns, self._answers, cycle.prefix
        size = columns.size
        uncached = np.full(len(rows), float(cycle.prompt_tokens)) if prefix is None else prefix.uncached_tokens(rows)
        requests = columns.requests(rows)
        ahead = columns.believed(columns.prefill_tokens, rows)
        context = columns.believed(columns.context_tokens, rows)
        others = self._strangers.of(columns, rows, cycle.now)
        if others is not None:
            ahead += others[0] * self._prompt
            requests += others[0]
            requests += others[1]
            capacity = columns.block_size[rows] * columns.kv_blocks[rows]
            context = np.maximum(context, columns.kv_usage[rows] * capacity)
        speeds = self._speeds.column(size)[rows]
        paces = self._expected(cycle, rows, speeds, requests, context)
        target = self.parameters.token_target_ms / 1000.0
        return Outlook(
            uncached,
            ahead,
            requests,
            context,
            speeds,
            stall(speeds * uncached, paces, target, max(answers.tokens, 1.0), answers.shortness),
            slowness(paces, target),
            answers.tokens,
        )

    @property
    def paced(self) -> int:
        """Answers whose pace it has learned from."""
        return self._answers.paced

    @property
    def token_seconds(self) -> float:
        """Seconds per token of the answers that ended lately, all endpoints together; 0 before any was seen."""
        return self._answers.token_seconds

    def paces(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return the seconds per token at which an answer that begins now is expected to come from each of ``rows``,
        whatever its prompt. Of requests that are not ours it knows what they have done to the answers that ended."""
        columns = cycle.columns
        requests, context = columns.requests(rows), columns.believed(columns.context_tokens, rows)
        return self._expected(cycle, rows, self._speeds.column(columns.size)[rows], requests, context)

    def _expected(self, cycle: Cycle, rows: Rows, speeds: Floats, requests: Floats, context: Floats) -> Floats:
        size, measured = cycle.columns.size, self._answers.pace(cycle.columns.size)
        return self._paces.expected(rows, speeds, requests, context, self._load(size, cycle.now)[rows], measured[rows])

    def _load(self, size: int, now: float) -> Floats:
        """Return for every row the prompt tokens it computes for each token of an answer, by what was sent there."""
        window, share = self._answers.window()
        longer, longer_share = self._answers.lasting()
        load: Floats = self._sent.column(size, now, window) * (share * (1.0 - LASTING))
        load += self._lasting.column(size, now, longer) * (longer_share * LASTING)
        return load

    def adapter_wait(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return the seconds until the adapter that is asked for has a slot and its weights on each of ``rows``."""
        load = self.parameters.adapter_load_ms / 1000.0
        hold = self._answers.hold(cycle.columns.size)[rows]
        return self._slots.wait(cycle.columns, cycle.target, rows, load, hold)

    def _costs_few(self, cycle: Cycle, rows: list[int]) -> list[float]:
        """Return `costs`."""
        columns, answers, prefix = cycle.columns, self._answers, cycle.prefix
        size, count = columns.size, len(rows)
        uncached = [float(cycle.prompt_tokens)] * count if prefix is None else prefix.uncached_tokens_few(rows)
        requests = few.requests(columns, rows)
        ahead = few.believed(columns, columns.prefill_tokens, rows)
        context = few.believed(columns, columns.context_tokens, rows)
        others = self._strangers.of_few(columns, rows, cycle.now)
        if others is not None:
            waiting, rest = others
            prompt = self._prompt
            ahead = [own + strange * prompt for own, strange in zip(ahead, waiting, strict=True)]
            requests = [mine + one + other for mine, one, other in zip(requests, waiting, rest, strict=True)]
            if columns.report.tells_capacity:
                usage, blocks = columns.kv_usage.tolist(), columns.kv_blocks.tolist()
                sizes = columns.block_size.tolist()
                used = [usage[row] * (sizes[row] * blocks[row]) for row in rows]
                context = [own if own > whole else whole for own, whole in zip(context, used, strict=True)]
            else:
                context = few.floored(context)
        speeds = few.entries(self._speeds.column(size), rows)
        sent = few.entries(self._load(size, cycle.now), rows)
        measured = few.entries(answers.pace(size), rows)
        paces = self._paces.expected_few(rows, speeds, requests, context, sent, measured)
        told = AnswersFew(paces, self.parameters.token_target_ms / 1000.0, answers.tokens, answers.shortness)
        costs = seconds_few(self._weights, uncached, ahead, requests, speeds, told)
        if columns.report.tells_capacity:
            tokens, per_token = cycle.prompt_tokens + answers.tokens, few.entries(columns.kv_per_token, rows)
            if max([(held + tokens) * share for held, share in zip(context, per_token, strict=True)]) > 1.0:
                waits = room_few(context, tokens, per_token, few.entries(answers.hold(size), rows))
                costs = [cost + wait for cost, wait in zip(costs, waits, strict=True)]
        if self._slots.is_adapter(columns, cycle.target):
            load = self.parameters.adapter_load_ms / 1000.0
            hold = few.entries(answers.hold(size), rows)
            waits = self._slots.wait_few(columns, cycle.target, rows, load, hold)
            costs = [cost + wait for cost, wait in zip(costs, waits, strict=True)]
        return costs

    def routed(self, cycle: Cycle, decision: Decision) -> None:
        """Count the request among those of its adapter, and its prompt among those sent lately."""
        row = decision.rows[0]
        self._slots.routed(cycle.target, row)
        self._add(row, _uncached(cycle, row))

    def moved(self, cycle: Cycle, decision: Decision, row: int) -> None:
        """Count the request where it is."""
        first = decision.rows[0]
        self._slots.finished(cycle.target, first)
        self._slots.routed(cycle.target, row)
        self._add(first, -_uncached(cycle, first))
        self._add(row, _uncached(cycle, row))

    def _add(self, row: int, tokens: float) -> None:
        self._sent.add(row, tokens)
        self._lasting.add(row, tokens)

    def first_token(self, observation: FirstToken) -> None:
        """Learn the endpoint's speed."""
        uncached = max(observation.prompt_tokens - observation.cached_tokens, 0.0)
        self._prompt += 0.02 * (uncached - self._prompt)
        self._speeds.observe(observation.endpoint.row, uncached + observation.ahead, observation.seconds)

    def finished(self, observation: Finished) -> None:
        """Learn what answers are like."""
        row = observation.endpoint.row
        self._slots.finished(observation.target, row)
        if observation.complete:
            pace = self._answers.ended(
                row, observation.output_tokens, observation.first_token_seconds, observation.seconds
            )
            if pace is not None:
                self._paces.learn(row, pace, float(self._speeds.column(row + 1)[row]))

    def left(self, endpoint: Endpoint) -> None:
        """Forget what the endpoint was like."""
        self._speeds.forget(endpoint.row)
        self._answers.forget(endpoint.row)
        self._slots.forget(endpoint.row)
        self._sent.forget(endpoint.row)
        self._lasting.forget(endpoint.row)

    def adopt(self, previous: Plugin[LeastCostParameters]) -> None:
        """Keep everything learned."""
        assert isinstance(previous, LeastCostScorer)
        self._speeds, self._answers, self._slots = previous._speeds, previous._answers, previous._slots
        self._paces, self._sent, self._lasting = previous._paces, previous._sent, previous._lasting
        self._prompt = previous._prompt


def _uncached(cycle: Cycle, row: int) -> float:
    """Return the prompt tokens that are left to compute there."""
    return float(cycle.prompt_tokens) if cycle.prefix is None else cycle.prefix.uncached_tokens_few([row])[0]
