"""Plugins that know what a server costs."""

from zone_plugins.cost import CostScorer

__all__ = ["CostScorer"]
