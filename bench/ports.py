"""Loopback addresses that are free."""

from __future__ import annotations

import socket
from collections.abc import Sequence


def free_port(hosts: Sequence[str] = ("127.0.0.1",), attempts: int = 50) -> int:
    """Return a port that is free on all of ``hosts``; raises OSError after ``attempts`` that were not."""
    for _ in range(attempts):
        with socket.socket() as first:
            first.bind((hosts[0], 0))
            port = int(first.getsockname()[1])
            if all(_is_free(host, port) for host in hosts[1:]):
                return port
    raise OSError(f"no port is free on all of {', '.join(hosts)}; stop what listens there")


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
