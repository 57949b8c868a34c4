"""Pickers: each orders what the filters left by the scores, in a file of its own."""

from signalbox.scheduling.pickers.max_score import MaxScorePicker

__all__ = ["MaxScorePicker"]
