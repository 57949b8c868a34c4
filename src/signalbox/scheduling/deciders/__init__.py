"""Deciders: each says for one request whether a stage of disaggregated serving runs, in a file of its own."""

from signalbox.scheduling.deciders.always_multimodal import AlwaysDisaggMultimodalDecider
from signalbox.scheduling.deciders.always_pd import AlwaysDisaggPDDecider
from signalbox.scheduling.deciders.prefix_based import PrefixBasedPDDecider

__all__ = ["AlwaysDisaggMultimodalDecider", "AlwaysDisaggPDDecider", "PrefixBasedPDDecider"]
