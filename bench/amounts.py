"""How much to measure, as it is asked for on a command line: nothing at all is a mistake, and not a measurement."""

from __future__ import annotations

import argparse
import math


def count(text: str) -> int:
    """Return a whole number of rounds, requests or clients; `argparse.ArgumentTypeError` below 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: use a whole number, 1 or more")
    return number


def seconds(text: str) -> float:
    """Return a time in seconds; `argparse.ArgumentTypeError` for one that is not finite and above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"{text}: use a number of seconds above 0")
    return number
