"""Fairness policies: each says which flow of a band goes next, in a file of its own."""

from signalbox.scheduling.fairness.global_strict import GlobalStrict
from signalbox.scheduling.fairness.program_aware import ProgramAware, ProgramAwareFairness
from signalbox.scheduling.fairness.round_robin import RoundRobin

__all__ = ["GlobalStrict", "ProgramAware", "ProgramAwareFairness", "RoundRobin"]
