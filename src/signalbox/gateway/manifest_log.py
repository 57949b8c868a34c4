"""Tells what reading the manifests brought: each problem, note and skipped document once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from signalbox.gateway.desired import Desired, routing_gaps
from signalbox.resources import Problem
from signalbox.sources import Manifests


class ManifestLog:
    """Remembers what has been said. ``say`` takes a subject and a line."""

    def __init__(self, say: Callable[[str, str], None]) -> None:
        self._say = say
        self.problems: tuple[Problem, ...] = ()
        self._said: set[tuple[str, str]] = set()
        self._counts = ""

    def tell(self, manifests: Manifests, desired: Desired) -> None:
        """Say what is new since the last reading."""
        counts = count_kinds(each.kind for each in manifests.resources)
        if counts != self._counts:
            self._counts = counts
            self._say("manifests", counts or "no objects")
        for skipped in manifests.skipped:
            named = f"{skipped.kind}/{skipped.name}" if skipped.name else f"{skipped.kind} at {skipped.origin}"
            self._once("manifests", f"{named}: {skipped.reason}")
        for note in desired.notes:
            self._once("note", note)
        for gap in routing_gaps(desired):
            self._once("warning", gap)
        now, before = [str(each) for each in manifests.problems], [str(each) for each in self.problems]
        for problem in now:
            if problem not in before:
                self._say("problem", problem)
        if before and not now:
            self._say("manifests", "all problems are solved")
        elif set(now) - set(before) and desired != Desired():
            self._say("manifests", "the last good state of these objects stays in force")
        self.problems = tuple(manifests.problems)

    def _once(self, subject: str, text: str) -> None:
        if (subject, text) not in self._said:
            self._said.add((subject, text))
            self._say(subject, text)


def count_kinds(kinds: Iterable[str]) -> str:
    """``1 ConfigMap, 2 Deployments``."""
    counts = Counter(kinds)
    return ", ".join(f"{number} {kind}{'s' * (number > 1)}" for kind, number in sorted(counts.items()))
