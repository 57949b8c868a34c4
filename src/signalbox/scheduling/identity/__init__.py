"""Identity sources: each says who sends a request, in a file of its own."""

from signalbox.scheduling.identity.agent_identity import AgentIdentity

__all__ = ["AgentIdentity"]
