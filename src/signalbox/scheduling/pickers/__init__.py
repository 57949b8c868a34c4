"""Pickers: each orders what the filters left by the scores, in a file of its own."""

from signalbox.scheduling.pickers.max_score import MaxScorePicker
from signalbox.scheduling.pickers.random_choice import RandomPicker
from signalbox.scheduling.pickers.weighted_random import WeightedRandomPicker

__all__ = ["MaxScorePicker", "RandomPicker", "WeightedRandomPicker"]
