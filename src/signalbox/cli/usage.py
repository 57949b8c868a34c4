"""What a command line got wrong."""

from __future__ import annotations


class UsageError(Exception):
    """The command cannot run as asked; the message says what to change."""
