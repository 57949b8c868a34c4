"""How an endpoint is chosen: filters, scorers, pickers and the profiles made of them, as an EndpointPickerConfig says;
pure functions over the pool's columns."""

from signalbox.scheduling.configuration.findings import InvalidPolicy
from signalbox.scheduling.configuration.loader import load_document, load_policy
from signalbox.scheduling.framework import Cycle, Decision, Filter, Picker, Ranking, Scorer, Step
from signalbox.scheduling.guide import GuideThresholds, guide_profile
from signalbox.scheduling.plugin import (
    DeciderPlugin,
    DetectorPlugin,
    FilterPlugin,
    HandlerPlugin,
    ParameterFault,
    Parameters,
    PickerPlugin,
    Plugin,
    ScorerPlugin,
)
from signalbox.scheduling.policy import Policy
from signalbox.scheduling.profile import Profile

__all__ = [
    "Cycle",
    "DeciderPlugin",
    "Decision",
    "DetectorPlugin",
    "Filter",
    "FilterPlugin",
    "GuideThresholds",
    "HandlerPlugin",
    "InvalidPolicy",
    "ParameterFault",
    "Parameters",
    "Picker",
    "PickerPlugin",
    "Plugin",
    "Policy",
    "Profile",
    "Ranking",
    "Scorer",
    "ScorerPlugin",
    "Step",
    "guide_profile",
    "load_document",
    "load_policy",
]
