"""Admitters: each decides whether a sheddable request is let in, in a file of its own."""

from signalbox.scheduling.admitters.latency_slo import LatencySLOAdmitter
from signalbox.scheduling.admitters.probabilistic import ProbabilisticAdmitter

__all__ = ["LatencySLOAdmitter", "ProbabilisticAdmitter"]
