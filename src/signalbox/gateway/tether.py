"""Start a program so that it dies with the process that asked for it.

Run as a script, ``python -I -S tether.py PARENT_PID PROGRAM ARG...``: it asks Linux to send SIGKILL when its parent
ends, then becomes the program. A supervisor that is killed outright cannot stop its children; the kernel then does
it. The request survives exec, and being a program of its own it needs no code between fork and exec in the parent,
which is not safe with threads. Elsewhere than on Linux the program simply starts.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, then become the program."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the request was made
            sys.exit(1)
    try:
        os.execvp(program[0], program)
    except OSError as error:
        sys.exit(f"{program[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
