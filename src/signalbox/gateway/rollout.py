"""Which pods to start and which to stop so that a Deployment has the replicas and the template it asks for."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod that exists and is not on its way out."""

    name: str
    revision: str
    """The short hash of the template it was made from."""
    ready: bool


@dataclass(frozen=True, slots=True)
class Start:
    """Start a pod of this name from the current template."""

    name: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Take this pod out of service and end it."""

    name: str


def plan_rollout(
    prefix: str, replicas: int, revision: str, pods: Iterable[PodView], names_in_use: Collection[str] = ()
) -> list[Start | Stop]:
    """One step towards ``replicas`` ready pods of ``revision``; ask again whenever a pod starts, gets ready or is gone.

    A rolling update with maxSurge 1 and maxUnavailable 0: at most one pod more than asked for, and a ready pod of an
    old revision goes only when enough others are ready. ``names_in_use`` are names of pods that are still draining.
    """
    current: list[PodView] = []
    old: list[PodView] = []
    for pod in pods:
        (current if pod.revision == revision else old).append(pod)
    steps: list[Start | Stop] = []

    surplus = max(0, len(current) - replicas)
    # Pods that do not serve go first, then the youngest.
    leaving = sorted(current, key=lambda pod: (pod.ready, -_index(pod.name)))[:surplus]
    steps += [Stop(pod.name) for pod in leaving]
    kept = [pod for pod in current if pod not in leaving]

    # An old pod that does not serve is not worth keeping; of those that do, only as many go as are not needed.
    ready = sum(pod.ready for pod in (*kept, *old))
    for pod in sorted(old, key=lambda pod: (pod.ready, -_index(pod.name))):
        if not pod.ready or ready > replicas:
            steps.append(Stop(pod.name))
            ready -= pod.ready
            old.remove(pod)

    room = replicas - len(kept)
    if old:
        room = min(room, replicas + 1 - len(kept) - len(old))
    taken = {pod.name for pod in (*current, *old)} | set(names_in_use)
    steps += [Start(name) for name in _free_names(f"{prefix}-{revision}-", max(0, room), taken)]
    return steps


def held_up(revision: str, pods: Iterable[PodView]) -> str:
    """What a pod of ``revision`` that does not get ready holds up, as the end of a sentence; empty if nothing."""
    older = [pod.name for pod in pods if pod.revision != revision and pod.ready]
    return f"; the rollout waits for it, in service until then: {', '.join(older)}" if older else ""


def _index(name: str) -> int:
    digits = name.rsplit("-", 1)[-1]
    return int(digits) if digits.isdigit() else 0


def _free_names(stem: str, count: int, taken: Collection[str]) -> list[str]:
    names: list[str] = []
    index = 0
    while len(names) < count:
        if f"{stem}{index}" not in taken:
            names.append(f"{stem}{index}")
        index += 1
    return names
