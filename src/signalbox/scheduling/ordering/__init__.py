"""Ordering policies: each says which request of a flow goes first, in a file of its own."""

from signalbox.scheduling.ordering.edf import EarliestDeadlineFirst
from signalbox.scheduling.ordering.fcfs import FirstComeFirstServed
from signalbox.scheduling.ordering.short_prompts_first import ShortPromptsFirst
from signalbox.scheduling.ordering.slo_deadline import SLODeadline

__all__ = ["EarliestDeadlineFirst", "FirstComeFirstServed", "SLODeadline", "ShortPromptsFirst"]
