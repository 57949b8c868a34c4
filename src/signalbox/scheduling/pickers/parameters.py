"""The parameter all pickers share."""

from __future__ import annotations

from signalbox.scheduling.parameters import PositiveCount
from signalbox.scheduling.plugin import Parameters
from signalbox.scheduling.profile import FALLBACKS


class PickerParameters(Parameters):
    """Parameters of pickers."""

    max_num_of_endpoints: PositiveCount = FALLBACKS
    """How many endpoints an answer names: the choice, then fallbacks in order, which the proxy tries when the choice
    fails. 3 where it is not given; llm-d and the Gateway API Inference Extension name 1."""
