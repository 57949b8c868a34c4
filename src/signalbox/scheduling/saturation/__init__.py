"""Saturation detectors: each says how full a pool is, in a file of its own."""

from signalbox.scheduling.saturation.concurrency import ConcurrencyDetector
from signalbox.scheduling.saturation.pace import PaceDetector
from signalbox.scheduling.saturation.utilization import UtilizationDetector

__all__ = ["ConcurrencyDetector", "PaceDetector", "UtilizationDetector"]
