"""Hostile traffic, made from a seed: what a peer could send, run against the rooms that hear it first.

``python -m fuzz`` runs it all; `fuzz.runner` is what the test suite calls. Every episode is a list of inputs that
depends on the seed and its number alone, so a failure is repeated by its seed, or from the file it was saved to.
"""
