"""Requests that wait in the picker, and the base classes of the plugins that say whose turn it is.

Requests wait in bands, one for each priority. In a band they belong to flows: those with one fairness id. A usage limit
says up to which saturation each band may send, a fairness plugin which flow of a band goes next, an ordering plugin
which request of a flow.

A fairness plugin does not look through all flows for each request, which would cost the more the more clients there
are. It is told of every change instead, and keeps a `Rota` for each band.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from signalbox.scheduling.plugin import P, Plugin
from signalbox.scheduling.ranked import Rank


class Flow(msgspec.Struct, frozen=True):
    """What requests are treated alike by: who sends them, and how much they matter."""

    fairness_id: str
    """Empty where the client names none: all of these are one flow."""
    priority: int


class Turn(msgspec.Struct, frozen=True, eq=False):
    """One request that waits. Two turns are never equal. Plugins look at it; queues rely on what it says."""

    flow: Flow
    size: int
    """Bytes of the body."""
    arrived: float
    """Seconds, on the caller's clock."""
    slo_ttft: float | None = None
    """Seconds within which the client wants its first token."""
    ttl: float | None = None
    """Seconds it may wait, filled in where it is queued; ``None`` for as long as it takes."""
    payload: Any = None
    """The caller's own."""
    prompt_tokens: float = 0.0
    """Estimated length of the prompt."""


class Rota(ABC):
    """The order of the flows of one band. A flow is known by its fairness id, and only while some request of it
    waits."""

    @abstractmethod
    def head(self, flow: str, turn: Turn, rank: Rank) -> None:
        """``turn`` is now the first of ``flow``, which has just joined or whose first it was not before. ``rank`` is
        what its ordering sorts by: comparable with the ranks of other flows' first."""

    @abstractmethod
    def left(self, flow: str) -> None:
        """Nobody of ``flow`` waits any more."""

    @abstractmethod
    def pick(self, now: float) -> str:
        """Return the flow whose first goes next. At least one waits. Changes nothing: `took` tells what came of it."""

    def took(self, flow: str, now: float) -> None:  # noqa: B027
        """The first of ``flow`` has been sent. Told before its `head` or its `left`."""

    def charged(self, flow: str, now: float) -> None:  # noqa: B027
        """`FairnessPlugin.charge` was told of a request of ``flow``, of which perhaps nobody waits here."""


class FairnessPlugin(Plugin[P]):
    """Says which flow of a band goes next."""

    role = "fairness policy"

    @abstractmethod
    def rota(self) -> Rota:
        """Return the order of a band in which nobody waits yet."""

    def charge(self, flow: Flow, prompt_tokens: int, answer_tokens: int, now: float) -> None:
        """A request of ``flow`` has ended, whether it had waited or not. Tokens are 0 where nobody counted them."""


class OrderingPlugin(Plugin[P]):
    """Says which request of a flow goes first."""

    role = "ordering policy"

    @abstractmethod
    def key(self, turn: Turn) -> float:
        """Return what to sort by, in seconds: the smaller goes first, equal ones in the order of arrival. Infinite for
        a request that may wait for all others. Asked once, when the request is queued."""


class UsageLimitPlugin(Plugin[P]):
    """Says how full the pool may be for requests of each priority, and for each request if it likes."""

    role = "usage limit policy"

    def arrived(self, turn: Turn) -> None:
        """A request has come, that may or may not have to wait. A plugin with a `ceiling` of its own is told once for
        each, before it is asked about it."""

    def ceiling(self, turn: Turn, ceiling: float, now: float) -> float:
        """Return how full the pool may be for ``turn``, which has just arrived or is the next of its band;
        ``ceiling`` is that of the band. Who arrives, and who matters less, passes by a band whose next one waits for
        a lower ceiling than the band's."""
        return ceiling

    @abstractmethod
    def ceilings(self, saturation: float, priorities: Sequence[int]) -> Sequence[float]:
        """Return one ceiling for each of ``priorities``, which are ordered from high to low: nobody of that priority or
        a lower one goes while saturation is at or over it. Asked once for each look at the queues."""


class IdentityPlugin(Plugin[P]):
    """Says who sends a request, where its headers name no fairness id."""

    role = "identity source"

    @abstractmethod
    def fairness_id(self, headers: Mapping[str, str]) -> str:
        """Return the fairness id; empty where these headers, names in lower case, do not say."""
