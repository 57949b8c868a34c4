"""The life of one request, from its arrival to its end, for one pool."""

from signalbox.director.arrival import Arrival, Refused, Routed
from signalbox.director.asking import Asking
from signalbox.director.director import Director
from signalbox.director.events import Completion, Observer, SilentObserver, Ticket
from signalbox.director.journal import Journal, Refusal
from signalbox.director.precise import PreciseTracker
from signalbox.director.rules import Rules, guide_rules, policy_rules
from signalbox.director.tokens import Tokens
from signalbox.director.wait import QueueObserver, Wait
from signalbox.director.waiting import Waiting

__all__ = [
    "Arrival",
    "Asking",
    "Completion",
    "Director",
    "Journal",
    "Observer",
    "PreciseTracker",
    "QueueObserver",
    "Refusal",
    "Refused",
    "Routed",
    "Rules",
    "SilentObserver",
    "Ticket",
    "Tokens",
    "Wait",
    "Waiting",
    "guide_rules",
    "policy_rules",
]
