"""Output that cannot be written: a disk that is full, a reader that has gone."""

from __future__ import annotations

import errno
import os
import sys

_OF_A_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})
"""What comes of writing a file: no room, no quota, a limit of its size, a device that fails or was locked."""


def close_output() -> None:
    """What could not be printed is not tried again as the process ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def unwritable(error: OSError) -> int:
    """Give up standard output, which ``error`` came of writing; returns the exit status: 1 where its reader has gone,
    which is said to nobody, 2 for anything else, which is said on standard error."""
    close_output()
    if isinstance(error, BrokenPipeError):
        return 1
    print(f"signalbox: the output cannot be written: {error.strerror or error}", file=sys.stderr)
    return 2


def lost(error: OSError) -> int | None:
    """`unwritable` for what a whole command raised; ``None`` for errors that have nothing to do with its output: they
    name a file, or are of another kind."""
    if isinstance(error, BrokenPipeError) or (error.errno in _OF_A_DISK and error.filename is None):
        return unwritable(error)
    return None
