"""File descriptors: every connection takes one, and without a free one nobody is let in and nothing is scraped."""

from __future__ import annotations

import logging
import resource


def allow_descriptors(connections: int, log: logging.Logger, flag: str = "--max-connections") -> None:
    """Raise this process's limit of open files as far as the system lets it.

    ``log`` gets a warning if there may be more ``connections``, which are set with ``flag``.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):  # some systems allow less than they say
            pass
    if soft != resource.RLIM_INFINITY and soft < connections:
        log.warning(
            "fewer file descriptors than connections are allowed: raise `ulimit -Hn` or allow fewer",
            extra={"descriptors": soft, "connections": connections, "flag": flag},
        )
