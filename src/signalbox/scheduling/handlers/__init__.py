"""Profile handlers: each decides which profiles run for a request, in a file of its own."""

from signalbox.scheduling.handlers.disagg import ENCODER_HEADER, PREFILLER_HEADER, DisaggProfileHandler
from signalbox.scheduling.handlers.header_profile import HeaderProfileHandler
from signalbox.scheduling.handlers.single_profile import SingleProfileHandler

__all__ = [
    "ENCODER_HEADER",
    "PREFILLER_HEADER",
    "DisaggProfileHandler",
    "HeaderProfileHandler",
    "SingleProfileHandler",
]
