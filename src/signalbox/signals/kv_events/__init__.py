"""What engines report of their KV caches: `EventsFollower` connects to every endpoint's publisher (or waits for them at
one address), puts their messages in order, asks for what was missed, and hands events to the precise prefix index."""

from signalbox.signals.kv_events.follower import EventsFollower
from signalbox.signals.kv_events.intake import FeedFigures

__all__ = ["EventsFollower", "FeedFigures"]
