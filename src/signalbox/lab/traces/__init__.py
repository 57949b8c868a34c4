"""Traces in files: which format a file has, and how each is read."""

from signalbox.lab.traces.detect import FORMATS, read_trace
from signalbox.lab.traces.problem import InvalidTrace

__all__ = ["FORMATS", "InvalidTrace", "read_trace"]
