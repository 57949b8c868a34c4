"""The life of one request, from its arrival to its end, for one pool."""

from signalbox.director.arrival import Arrival, Refused, Routed
from signalbox.director.director import Director
from signalbox.director.events import Completion, Observer, SilentObserver, Ticket
from signalbox.director.journal import Journal, Refusal
from signalbox.director.rules import Rules, guide_rules, policy_rules

__all__ = [
    "Arrival",
    "Completion",
    "Director",
    "Journal",
    "Observer",
    "Refusal",
    "Refused",
    "Routed",
    "Rules",
    "SilentObserver",
    "Ticket",
    "guide_rules",
    "policy_rules",
]
