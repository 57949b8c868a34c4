"""``session-affinity-scorer``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from signalbox.pool import Floats, Rows
from signalbox.scheduling.framework import Cycle, Decision
from signalbox.scheduling.plugin import Plugin, ScorerPlugin
from signalbox.scheduling.sessions import SessionAffinityParameters, SessionBindings, needed_producers


class SessionAffinityScorer(ScorerPlugin[SessionAffinityParameters]):
    """The endpoint that served the session before is better.

    Formula: 1 for the bound endpoint, 0 for the others; 0 for all without a session. Strategy encoded_endpoint_header:
    the client sends back the header it got with the last answer, the base64 of the endpoint's ``namespace/name``.
    Strategy session_id: the client names its session and the binding is remembered here. Source:
    session-affinity-scorer of llm-d.
    """

    type = "session-affinity-scorer"
    use = "Conversations whose prompts cannot be read, where the prefix index has nothing to go by."

    def __init__(self, parameters: SessionAffinityParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._bindings = SessionBindings(self.parameters)

    def needs(self) -> tuple[str, ...]:
        """Return the type of who finds the session's name, where a source says so."""
        return needed_producers(self.parameters)

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return 1 for the bound endpoint, else 0."""
        bound = self._bindings.row(cycle)
        return np.zeros(len(rows)) if bound is None else (rows == bound).astype(np.float64)

    def score_few(self, cycle: Cycle, rows: list[int]) -> list[float]:
        """Return the same."""
        bound = self._bindings.row(cycle)
        return [0.0] * len(rows) if bound is None else [1.0 if row == bound else 0.0 for row in rows]

    def routed(self, cycle: Cycle, decision: Decision) -> None:
        """Bind the session to what was chosen."""
        self._bindings.routed(cycle, decision)

    def moved(self, cycle: Cycle, decision: Decision, row: int) -> None:
        """Bind the session to who served it."""
        self._bindings.moved(cycle, decision, row)

    def answer_headers(self, cycle: Cycle, decision: Decision) -> Mapping[str, str]:
        """Give the client its token."""
        return self._bindings.answer_headers(cycle, decision)

    def adopt(self, previous: Plugin[SessionAffinityParameters]) -> None:
        """Keep the sessions."""
        assert isinstance(previous, SessionAffinityScorer)
        self._bindings.adopt(previous._bindings)
