"""How an endpoint is chosen: filters, scorers, pickers and the profiles made of them; pure functions over the pool's
columns."""

from signalbox.scheduling.framework import Cycle, Decision, Filter, Picker, Profile, Scorer, Step
from signalbox.scheduling.guide import GuideThresholds, guide_profile

__all__ = [
    "Cycle",
    "Decision",
    "Filter",
    "GuideThresholds",
    "Picker",
    "Profile",
    "Scorer",
    "Step",
    "guide_profile",
]
