"""Replay recorded traffic through the production decision code in virtual time."""

from signalbox.lab.outcome import Outcome
from signalbox.lab.replay import replay
from signalbox.lab.scrapes import Scraping
from signalbox.lab.servers import Server, server
from signalbox.lab.stage import Contender, Stage, TracePrefixes, TruePrefixes, configured, guide
from signalbox.lab.workload import TraceRequest, Workload

__all__ = [
    "Contender",
    "Outcome",
    "Scraping",
    "Server",
    "Stage",
    "TracePrefixes",
    "TraceRequest",
    "TruePrefixes",
    "Workload",
    "configured",
    "guide",
    "replay",
    "server",
]
