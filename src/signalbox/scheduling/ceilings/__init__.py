"""Usage limit policies: each says how full the pool may be for each priority, in a file of its own."""

from signalbox.scheduling.ceilings.long_prompt_holdback import LongPromptHoldback
from signalbox.scheduling.ceilings.priority_holdback import PriorityHoldback
from signalbox.scheduling.ceilings.soft_reflective import SoftReflectiveCeiling
from signalbox.scheduling.ceilings.static import StaticUsageLimit

__all__ = ["LongPromptHoldback", "PriorityHoldback", "SoftReflectiveCeiling", "StaticUsageLimit"]
