"""``agent-identity``."""

from __future__ import annotations

from collections.abc import Mapping

from signalbox.scheduling.headers import HeaderName
from signalbox.scheduling.plugin import Parameters
from signalbox.scheduling.queueing import IdentityPlugin

SESSION_HEADERS = ("x-claude-code-session-id", "x-session-affinity", "session-id", "session_id")
"""Headers in which coding agents name their sessions, in the order in which they are asked."""


class AgentIdentityParameters(Parameters):
    """Parameters of agent-identity."""

    additional_session_headers: tuple[HeaderName, ...] = ()
    """Headers to look at before those that are built in."""


class AgentIdentity(IdentityPlugin[AgentIdentityParameters]):
    """The sessions of coding agents are flows.

    Formula: the first header that is not empty, of additionalSessionHeaders, ``x-claude-code-session-id``,
    ``x-session-affinity``, ``session-id`` and ``session_id``, where the request names no fairness id itself. Source:
    agent-identity of llm-d.
    """

    type = "agent-identity"
    use = "Flow control for agents that send a session header and no fairness id."

    def __init__(self, parameters: AgentIdentityParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        own = [header.lower() for header in self.parameters.additional_session_headers]
        self._headers = (*own, *SESSION_HEADERS)

    def fairness_id(self, headers: Mapping[str, str]) -> str:
        """Return the session's name."""
        for header in self._headers:
            value = headers.get(header)
            if value:
                return value
        return ""
