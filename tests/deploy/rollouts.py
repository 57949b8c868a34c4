"""Whether a Deployment's rollout ends: the arithmetic of the Deployment controller for RollingUpdate, as its API
reference states it, with pods of which only one is ever ready where they elect a leader."""

from __future__ import annotations

from typing import Any


def ends(deployment: dict[str, Any], *, elects: bool) -> bool:
    """Whether every pod becomes a new one, given that new pods start well and get the lead when no old one is left."""
    spec = deployment["spec"]
    replicas: int = spec["replicas"]
    limits = spec.get("strategy", {}).get("rollingUpdate", {})
    surge = _share(limits.get("maxSurge", "25%"), replicas, up=True)
    missing = _share(limits.get("maxUnavailable", "25%"), replicas, up=False)
    old, new = replicas, 0
    while old:
        before = (old, new)
        new = min(replicas, new + max(0, replicas + surge - old - new))
        # Old pods keep the lead as long as there is one.
        ready_old, ready_new = (1, 0) if elects else (old, new)
        spare = old + new - (replicas - missing) - (new - ready_new)
        unready = max(0, min(old - ready_old, spare))
        ready = max(0, min(ready_old, ready_old + ready_new - (replicas - missing)))
        old -= unready + min(ready, max(0, spare - unready))
        if (old, new) == before:
            return False
    return True


def _share(limit: int | str, replicas: int, *, up: bool) -> int:
    """A number of pods, or a percentage of them: rounded up for the surge, down for what may be missing."""
    if isinstance(limit, int):
        return limit
    percent = int(limit.removesuffix("%"))
    return -(-replicas * percent // 100) if up else replicas * percent // 100
