"""Output that cannot be written: a disk that is full, a reader that has gone."""

from __future__ import annotations

import errno
import os
import sys


def close_output() -> None:
    """What could not be printed is not tried again as the process ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def lost(error: OSError) -> int | None:
    """Give up standard output where ``error`` may have come of writing it; returns the exit status: 1 where its reader
    has gone, which is said to nobody, 2 where there is no room, which is said on standard error. ``None`` for errors
    that have nothing to do with it: they name a file, or are of another kind."""
    if isinstance(error, BrokenPipeError):
        close_output()
        return 1
    if error.errno == errno.ENOSPC and error.filename is None:
        close_output()
        print(f"signalbox: the output cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    return None
