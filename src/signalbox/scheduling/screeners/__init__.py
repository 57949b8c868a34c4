"""Screeners: each says which endpoints a request may see at all, before any profile, in a file of its own."""

from signalbox.scheduling.screeners.rollout import RolloutScreener

__all__ = ["RolloutScreener"]
