"""File descriptors: every connection takes one, and without a free one nobody is let in and nothing is scraped."""

from __future__ import annotations

import logging
import resource

log = logging.getLogger("signalbox.epp")


def allow_descriptors(connections: int) -> None:
    """Raise this process's limit of open files as far as the system lets it; warn if ``connections`` may be more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):  # some systems allow less than they say
            pass
    if soft != resource.RLIM_INFINITY and soft < connections:
        log.warning(
            "fewer file descriptors than --max-connections allows connections: raise `ulimit -Hn` or lower the flag",
            extra={"descriptors": soft, "connections": connections},
        )
