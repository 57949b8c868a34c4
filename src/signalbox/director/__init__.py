"""The life of one request, from its arrival to its end, for one pool."""

from signalbox.director.arrival import Arrival, Refused, Routed
from signalbox.director.director import Director
from signalbox.director.events import Completion, Observer, SilentObserver, Ticket

__all__ = ["Arrival", "Completion", "Director", "Observer", "Refused", "Routed", "SilentObserver", "Ticket"]
