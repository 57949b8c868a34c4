"""How fast an endpoint will answer one request: learned from answers that came, for each endpoint, and held against
what the client asked for. docs/predicted-latency.md has the derivation; `signalbox.scheduling.producers` makes a plugin
of it."""

from signalbox.scheduling.latency.lines import Lines
from signalbox.scheduling.latency.predictions import Predicted, Predictions, headroom
from signalbox.scheduling.latency.promises import Promises

__all__ = ["Lines", "Predicted", "Predictions", "Promises", "headroom"]
