"""A director whose decisions are kept, for the tests of what is made of them."""

from __future__ import annotations

import json
from typing import Any

from signalbox.director import Arrival, Director, Refused, Routed, Rules, Ticket, guide_rules, policy_rules
from signalbox.observability import DecisionLog
from signalbox.observability.decision_view import decision_view
from signalbox.payloads import Usage
from signalbox.pool import Pool
from signalbox.scheduling import load_policy

SCORERS = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: queue-scorer}, {type: prefix-cache-scorer}]
schedulingProfiles:
- name: default
  plugins: [{pluginRef: queue-scorer, weight: 2}, {pluginRef: prefix-cache-scorer, weight: 3}]
"""


def wall(seconds: float) -> float:
    """The epoch began when the director's clock did."""
    return seconds


def arrival(request_id: str = "r-1", prompt: str = "say hello", **fields: Any) -> Arrival:
    """One completion request for model ``m``."""
    document = {"model": fields.pop("model", "m"), "prompt": prompt, "max_tokens": 5, "stream": True}
    return Arrival("/v1/completions", json.dumps(document).encode(), request_id, **fields)


class Deciding:
    """A director with its log. ``config`` is an EndpointPickerConfig; without one the guide's tree decides."""

    def __init__(self, pool: Pool, config: str = "", log: DecisionLog | None = None) -> None:
        self.pool = pool
        self.log = DecisionLog(pool) if log is None else log
        rules: Rules = guide_rules()
        if config:
            rules = policy_rules(load_policy(config, name="test"), pool)
        self.director = Director(pool, rules, journal=self.log, stopwatch=iter(range(1, 100_000)).__next__)

    def route(self, request: Arrival, now: float = 0.0) -> Ticket:
        """Decide; the request stays in flight."""
        outcome = self.director.arrive(request, now)
        assert isinstance(outcome, Routed), outcome
        assert outcome.ticket is not None
        return outcome.ticket

    def refuse(self, request: Arrival, now: float = 0.0) -> Refused:
        """Decide a request that gets no endpoint."""
        outcome = self.director.arrive(request, now)
        assert isinstance(outcome, Refused)
        return outcome

    def end(self, ticket: Ticket, now: float, outcome: str = "complete", usage: Usage | None = None) -> None:
        """End a request."""
        self.director.finish(ticket, now, outcome=outcome, status=200, response_bytes=10, usage=usage)

    def view(self, request_id: str = "r-1", most: int = 64) -> dict[str, Any]:
        """The newest decision for a request, after a trip through JSON."""
        text = json.dumps(decision_view(self.log.find(request_id)[-1], wall, most), allow_nan=False)
        document: dict[str, Any] = json.loads(text)
        return document
