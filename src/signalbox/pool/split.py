"""One name's targets: which of them takes the next request.

Targets share by weight, in rotation. An object can make the choice stick to a session instead: of the header it names,
each value keeps its target. That is weighted rendezvous hashing: every target draws ``-ln(u) / weight`` with u a hash
of session and target in (0, 1), and the smallest draw wins, so that a target gets its weight's share of the sessions,
and a change of one weight moves only sessions that go to that target or leave it.

A target that no server has loaded is held back: a share of the traffic for it would be a share of refusals. Its weight
goes to the others until a server lists it. Where no target is loaded, the targets that the object had before take its
requests, as long as a server lists them; without such, the requests go out as written and the server refuses them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import xxhash

from signalbox.pool.rotation import Rotation
from signalbox.resources.annotations import STICKY_HEADER

STICKY_ANNOTATION = STICKY_HEADER
"""On an InferenceModel or InferenceModelRewrite with several targets: the request header that names the session. A
request without it takes the next target in rotation."""

Choices = Sequence[tuple[str, int | None]]


class Split:
    """The weighted targets of one object, or of one rule of it."""

    __slots__ = ("_allowed", "_before", "_choices", "_rotation", "_salt", "header", "held_back", "unloaded")

    def __init__(self, owner: str, choices: Choices, header: str = "", before: Choices = ()) -> None:
        """Take ``(name, weight)`` pairs; ``owner`` names the object, so that two of them split sessions differently.

        ``before`` are the pairs that were in force until now, for as long as none of the new ones is loaded.

        Raises:
            ValueError: as `Rotation`.
        """
        self._choices = tuple(choices)
        self._salt = owner
        self.header = header.strip().lower() if len(self._choices) > 1 else ""
        """The request header that decides, in lower case; empty for the rotation alone."""
        self.held_back: tuple[str, ...] = ()
        """Targets that get no traffic, since no server has them."""
        self.unloaded = False
        """Whether the requests go to targets that no server has."""
        self._before = tuple(before)
        self._allowed = self._choices
        self._rotation = Rotation(self._choices)

    @property
    def names(self) -> tuple[str, ...]:
        """All targets, held back or not."""
        return tuple(name for name, _ in self._choices)

    @property
    def in_force(self) -> Choices:
        """The pairs that take requests now."""
        return self._allowed

    @property
    def stands_in(self) -> bool:
        """Whether the targets of before take the requests, since none of the own is loaded."""
        return bool(self.held_back) and len(self.held_back) == len(self._choices)

    def matches(self, choices: Choices, header: str) -> bool:
        """Say whether this split already serves ``choices``, so that an unrelated edit need not restart it."""
        other = Split(self._salt, choices, header)
        return other._choices == self._choices and other.header == self.header

    def restrict(self, listed: frozenset[str] | None) -> None:
        """Hold back what is not among ``listed``, the names servers list; ``None`` while nothing is known."""
        allowed = self._choices
        self.unloaded = False
        if listed is not None:
            present = _of(allowed, listed)
            if present:
                self._before = ()
            allowed = present or _of(self._before, listed) or allowed
            self.unloaded = allowed[0][0] not in listed
        self.held_back = tuple(name for name, _ in self._choices if all(name != kept for kept, _ in allowed))
        if allowed != self._allowed:
            self._allowed = allowed
            self._rotation = Rotation(allowed)

    def take(self, headers: Mapping[str, str]) -> str:
        """Return the target of the next request."""
        session = headers.get(self.header) if self.header else None
        return self._of_session(session) if session else self._rotation.take()

    def _of_session(self, session: str) -> str:
        best, least = self._allowed[0][0], math.inf
        for name, weight in self._allowed:
            drawn = xxhash.xxh64_intdigest(f"{self._salt}\0{session}\0{name}".encode("utf-8", "surrogatepass"))
            draw = -math.log((drawn + 1) / 2.0**64) / (1 if weight is None else weight) if weight != 0 else math.inf
            if draw < least:
                best, least = name, draw
        return best


def _of(choices: Choices, listed: frozenset[str]) -> tuple[tuple[str, int | None], ...]:
    return tuple(choice for choice in choices if choice[0] in listed)
