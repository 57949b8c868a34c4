"""How an endpoint is chosen: filters, scorers, pickers and the profiles made of them, as an EndpointPickerConfig says;
pure functions over the pool's columns."""

from signalbox.scheduling.configuration.findings import InvalidPolicy
from signalbox.scheduling.configuration.loader import load_document, load_policy
from signalbox.scheduling.framework import Cycle, Decision, Filter, Picker, Ranking, Scorer, Step
from signalbox.scheduling.guide import GuideThresholds, guide_profile
from signalbox.scheduling.plugin import (
    AdmitterPlugin,
    DeciderPlugin,
    DetectorPlugin,
    FilterPlugin,
    HandlerPlugin,
    ParameterFault,
    Parameters,
    PickerPlugin,
    Plugin,
    ProducerPlugin,
    ScorerPlugin,
    ScreenerPlugin,
)
from signalbox.scheduling.policy import Policy
from signalbox.scheduling.profile import Profile
from signalbox.scheduling.queueing import (
    FairnessPlugin,
    Flow,
    IdentityPlugin,
    OrderingPlugin,
    Rota,
    Turn,
    UsageLimitPlugin,
)

__all__ = [
    "AdmitterPlugin",
    "Cycle",
    "DeciderPlugin",
    "Decision",
    "DetectorPlugin",
    "FairnessPlugin",
    "Filter",
    "FilterPlugin",
    "Flow",
    "GuideThresholds",
    "HandlerPlugin",
    "IdentityPlugin",
    "InvalidPolicy",
    "OrderingPlugin",
    "ParameterFault",
    "Parameters",
    "Picker",
    "PickerPlugin",
    "Plugin",
    "Policy",
    "ProducerPlugin",
    "Profile",
    "Ranking",
    "Rota",
    "Scorer",
    "ScorerPlugin",
    "ScreenerPlugin",
    "Step",
    "Turn",
    "UsageLimitPlugin",
    "guide_profile",
    "load_document",
    "load_policy",
]
