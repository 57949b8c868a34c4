"""The base classes of plugins: what each role must implement, and what any plugin may.

A plugin is a class with a ``type`` (its name in configuration files), a parameter model, and the methods of its role.
Its docstring is its reference entry: formula, units, source. `signalbox.scheduling.registry` finds plugins of other
packages by the entry point group ``signalbox.plugins``. Roles of flow control are in `signalbox.scheduling.queueing`.
"""

from __future__ import annotations

import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from signalbox.pool import Endpoint, Floats, Rows
from signalbox.resources.strict import Strict
from signalbox.scheduling.framework import Cycle, Decision
from signalbox.scheduling.observation import Finished, FirstToken
from signalbox.scheduling.profile import Profile


class Parameters(Strict):
    """Base of parameter models: frozen, camelCase in files, no unknown fields. Itself the model of plugins that take
    no parameters. A text under a field is its description in the reference and in the JSON Schema."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    ineffective: ClassVar[Mapping[str, str]] = {}
    """Fields that the reference has and that do nothing here, with the reason: told where a file sets one."""


P = TypeVar("P", bound=Parameters)

_Model = type[BaseModel]  # a plugin has an attribute named type


class ParameterFault(Exception):
    """Parameters that are well-formed but cannot work; ``at`` leads from the parameters to the field to blame."""

    def __init__(self, message: str, fix: str, *at: str | int) -> None:
        super().__init__(f"{message}; {fix}")
        self.message = message
        self.fix = fix
        self.at = at


class Plugin(ABC, Generic[P]):
    """What all plugins share.

    ``type`` is the type name in configuration files. The parameter model is the type argument:
    ``class Zone(ScorerPlugin[ZoneParameters])``. A plugin is created once for each entry of ``plugins`` in the file.
    """

    type: ClassVar[str] = ""
    role: ClassVar[str] = ""
    """``filter``, ``scorer``, ``picker``, ``handler``, ``decider``, ``detector``, ``producer``, ``admitter`` or another
    of `signalbox.scheduling.registry.ROLES`."""
    use: ClassVar[str] = ""
    """One sentence for the reference page: when to use it."""
    reads_prefix: ClassVar[bool] = False
    """Whether it reads ``cycle.prefix``. Prompts are looked up only where some plugin of the policy does."""
    reads_media: ClassVar[bool] = False
    """Whether it reads ``cycle.multimodal``. Bodies are searched for media only where some plugin of it does."""
    reads_media_items: ClassVar[bool] = False
    """Whether it reads ``cycle.media``. Images and the like are hashed only where some plugin of the policy does."""
    parameter_model: ClassVar[_Model] = Parameters

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for base in getattr(cls, "__orig_bases__", ()):
            for argument in typing.get_args(base):
                if isinstance(argument, type) and issubclass(argument, Parameters):
                    cls.parameter_model = argument

    def __init__(self, parameters: P | None = None, name: str = "") -> None:
        self.parameters: P = typing.cast(P, self.parameter_model()) if parameters is None else parameters
        self.name = name or self.type

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.parameters!r})"

    # -- optional ------------------------------------------------------------------------------------------------

    def needs(self) -> tuple[str, ...]:
        """Return the types of plugins it asks. One of each is added, as it is by default, where the file lists none."""
        return ()

    def connect(self, plugins: Mapping[str, Plugin[Any]]) -> None:
        """Look up the plugins that parameters name. Called once, when all exist. Raises `ParameterFault`."""

    def routed(self, cycle: Cycle, decision: Decision) -> None:
        """A decision was made by a policy this plugin belongs to."""

    def request_headers(self, cycle: Cycle, decision: Decision) -> Mapping[str, str]:
        """Return headers for the gateway to set on the request."""
        return {}

    def answer_headers(self, cycle: Cycle, decision: Decision) -> Mapping[str, str]:
        """Return headers for the gateway to set on the answer."""
        return {}

    def moved(self, cycle: Cycle, decision: Decision, row: int) -> None:
        """A fallback served the request, since the first choice of ``decision`` failed: the endpoint of ``row``.

        Told at most once for a decision, after ``routed``, with the cycle as it was then. ``answer_headers`` is asked
        again, for a decision in which ``row`` comes first.
        """

    def first_token(self, observation: FirstToken) -> None:
        """A streamed answer to a request this policy routed has begun."""

    def finished(self, observation: Finished) -> None:
        """A request this policy routed has ended."""

    def left(self, endpoint: Endpoint) -> None:
        """An endpoint has left the pool for good: forget it, its row will be another's."""

    def adopt(self, previous: Plugin[P]) -> None:
        """Take over what ``previous`` has learned: the same plugin, name and parameters of the policy before."""


class FilterPlugin(Plugin[P]):
    """Narrows the candidates."""

    role = "filter"
    preference: ClassVar[bool] = False
    """Whether what it leaves out may still be named as a fallback, for a retry when the choice fails."""

    @abstractmethod
    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the rows to go on with, a part of ``rows``; an empty result means that none qualifies."""


class ScorerPlugin(Plugin[P]):
    """Ranks the candidates."""

    role = "scorer"
    filters: bool = False
    """Whether it stands among the filters of its profile as well; then it has a method ``keep`` as filters have."""

    @abstractmethod
    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return one score for each row, 0 (worst) to 1 (best)."""


class PickerPlugin(Plugin[P]):
    """Chooses among the candidates."""

    role = "picker"

    @property
    @abstractmethod
    def endpoints(self) -> int:
        """How many endpoints an answer names."""

    @abstractmethod
    def pick(self, cycle: Cycle, rows: Rows, scores: Floats, limit: int) -> Rows:
        """Return up to ``limit`` distinct rows, best first. ``rows`` is not empty."""


class HandlerPlugin(Plugin[P]):
    """Decides which profiles run and what becomes of their choices."""

    role = "handler"

    def primary(self, profiles: Mapping[str, Profile]) -> str:
        """Return the profile to run alone should the handler fail: by default the first."""
        return next(iter(profiles))

    def check(self, profiles: Mapping[str, Profile]) -> None:
        """Raise `ParameterFault` where the file's profiles are not what this handler needs."""

    @abstractmethod
    def schedule(self, cycle: Cycle, rows: Rows, profiles: Mapping[str, Profile]) -> Decision | None:
        """Run profiles and return the decision; ``None`` where there is no endpoint for the request."""


class DeciderPlugin(Plugin[P]):
    """Decides for one request whether a stage of disaggregated serving runs."""

    role = "decider"

    @abstractmethod
    def decide(self, cycle: Cycle, row: int | None) -> bool:
        """Return whether to run the stage; ``row`` is the decode endpoint where one has been chosen."""


class DetectorPlugin(Plugin[P]):
    """Says how full a pool is. May also stand in a profile, where it drops endpoints that are over their limits."""

    role = "detector"

    @abstractmethod
    def saturation(self, cycle: Cycle, rows: Rows) -> float:
        """Return how full the endpoints are: 0 idle, 1 at the limit, more beyond it; 1 where there is none."""

    @abstractmethod
    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the rows within limits and headroom; all of them where none is."""


class ProducerPlugin(Plugin[P]):
    """Finds something out that other plugins ask it for, in `Plugin.connect`, or read on the cycle."""

    role = "producer"

    def produce(self, cycle: Cycle) -> None:
        """Note on the cycle what it finds in the request, before anybody is admitted or chosen."""


class AdmitterPlugin(Plugin[P]):
    """Decides whether a sheddable request, one with a priority below zero, is let in. Others are never asked about."""

    role = "admitter"

    @abstractmethod
    def admit(self, cycle: Cycle, rows: Rows) -> str | None:
        """Return ``None`` to let the request in, or why not, for the client to read. ``rows`` is not empty."""


class ScreenerPlugin(Plugin[P]):
    """Says which endpoints a request may see at all: no profile, and so no fallback, gets around it."""

    role = "screener"

    @abstractmethod
    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the rows to go on with, a part of ``rows``; an empty result means that none qualifies."""
