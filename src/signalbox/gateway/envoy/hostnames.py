"""Hostnames of listeners and routes: which covers which, and what two have in common.

A hostname is exact (``api.example.com``), a wildcard (``*.example.com``: one or more labels before the rest) or ``*``.
"""

from __future__ import annotations

from collections.abc import Sequence

ANY = "*"


def covers(pattern: str, host: str) -> bool:
    """Whether every name that ``host`` stands for is one that ``pattern`` stands for."""
    if pattern in (ANY, host):
        return True
    return pattern.startswith("*.") and host != ANY and host.removeprefix("*").endswith(pattern[1:])


def specificity(host: str) -> tuple[bool, int]:
    """The Gateway API's rank of a hostname, the greater first: exact over wildcard, then long over short."""
    return not host.startswith("*"), len(host)


def intersection(listener: str, hosts: Sequence[str]) -> tuple[str, ...]:
    """The hostnames under which a route with these ``hosts`` (none means any) is reached through a listener."""
    shared = []
    for host in hosts or (ANY,):
        if covers(listener, host):
            shared.append(host)
        elif covers(host, listener):
            shared.append(listener)
    return tuple(dict.fromkeys(shared))
