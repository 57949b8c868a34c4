"""Requests that wait in the picker until the pool has room for them, in queues by priority and flow."""

from signalbox.admission.flow.band import BandFigures
from signalbox.admission.flow.eviction import Evictions, Serving
from signalbox.admission.flow.queues import FlowQueues
from signalbox.scheduling.flow_settings import BandSettings, FlowSettings
from signalbox.scheduling.queueing import Flow, Turn

__all__ = ["BandFigures", "BandSettings", "Evictions", "Flow", "FlowQueues", "FlowSettings", "Serving", "Turn"]
