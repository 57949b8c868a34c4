"""``session-affinity-filter``."""

from __future__ import annotations

from collections.abc import Mapping

from signalbox.pool import Rows
from signalbox.scheduling.framework import Cycle, Decision
from signalbox.scheduling.plugin import FilterPlugin, Plugin
from signalbox.scheduling.sessions import SessionAffinityParameters, SessionBindings, needed_producers


class SessionAffinityFilter(FilterPlugin[SessionAffinityParameters]):
    """Keep only the endpoint that served the session before.

    Keeps all where there is no session, or where its endpoint is gone or was left out before. Strategies as in
    session-affinity-scorer. Others may still be named as fallbacks, for a retry when the bound endpoint fails. Source:
    session-affinity-filter of llm-d.
    """

    type = "session-affinity-filter"
    use = "State on the server that a session must come back to."
    preference = True

    def __init__(self, parameters: SessionAffinityParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._bindings = SessionBindings(self.parameters)

    def needs(self) -> tuple[str, ...]:
        """Return the type of who finds the session's name, where a source says so."""
        return needed_producers(self.parameters)

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the bound row alone, or all."""
        bound = self._bindings.row(cycle)
        if bound is None:
            return rows
        kept: Rows = rows[rows == bound]
        return kept if len(kept) else rows

    def keep_few(self, cycle: Cycle, rows: list[int]) -> list[int]:
        """Return the same."""
        bound = self._bindings.row(cycle)
        return rows if bound is None or bound not in rows else [bound]

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
        assert isinstance(previous, SessionAffinityFilter)
        self._bindings.adopt(previous._bindings)
