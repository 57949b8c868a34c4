"""Which model names a pool serves, what they are called on the servers, and how important their requests are.

Three kinds of objects say so. InferenceModel (v1alpha2) names a model, its criticality and its weighted targets.
InferenceModelRewrite (its successor for names) maps names to weighted targets by rule. InferenceObjective (its
successor for importance) is named by a request header and carries a priority. All three may live in one pool; a
rewrite overrides the targets of an InferenceModel, and an objective overrides its criticality.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from signalbox.pool.inventory import Inventory, take_inventory
from signalbox.pool.split import STICKY_ANNOTATION, Choices, Split
from signalbox.resources import (
    Criticality,
    InferenceModel,
    InferenceModelRewrite,
    InferenceObjective,
    Key,
)

PRIORITY = {Criticality.CRITICAL: 1, Criticality.STANDARD: 0, Criticality.SHEDDABLE: -1}
"""A criticality as a priority: above zero is critical, below zero may be shed."""

_NO_HEADERS: Mapping[str, str] = {}

Named = InferenceModel | InferenceModelRewrite | InferenceObjective


class Resolution(msgspec.Struct, frozen=True):
    """What a requested model name means in this pool."""

    target: str
    priority: int
    rewrite: str = ""
    """Name of the InferenceModelRewrite that chose the target, if one did."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two InferenceModels claim one ``modelName``; the older serves it."""

    model_name: str
    winner: Key
    loser: Key

    def __str__(self) -> str:
        return (
            f"InferenceModel {self.loser.namespace}/{self.loser.name} is not used: modelName {self.model_name!r}"
            f" belongs to the older {self.winner.namespace}/{self.winner.name}; give it another modelName or delete one"
            " of the two"
        )


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A weighted target that gets no traffic, since no server has loaded it."""

    owner: Key
    target: str

    def __str__(self) -> str:
        return (
            f"{self.owner.kind} {self.owner.namespace}/{self.owner.name}: target {self.target!r} gets no traffic: no"
            " ready server lists it among its models; load it, or correct its name"
        )


class Catalogue:
    """The models, rewrites and objectives of one pool. Ages are creation times, then order of arrival."""

    def __init__(self) -> None:
        self._objects: dict[Key, Named] = {}
        self._arrival: dict[Key, int] = {}
        self._arrivals = 0
        self._models: dict[str, InferenceModel] = {}
        self._splits: dict[tuple[Key, int], Split] = {}
        self._of_model: dict[str, Split] = {}
        self._exact: dict[str, tuple[str, Split]] = {}
        self._generic: tuple[str, Split] | None = None
        self._listed: frozenset[str] | None = None
        self._objectives: dict[str, int] = {}
        self._conflicts: tuple[Conflict, ...] = ()
        self._sticky = False
        self._stale = False

    def put(self, resource: Named) -> None:
        """Add or replace an object. A replaced object keeps its age."""
        if resource.key not in self._arrival:
            self._arrivals += 1
            self._arrival[resource.key] = self._arrivals
        self._objects[resource.key] = resource
        self._stale = True

    def remove(self, key: Key) -> None:
        """Forget an object; unknown keys are ignored."""
        if self._objects.pop(key, None) is not None:
            del self._arrival[key]
            self._stale = True

    @property
    def open(self) -> bool:
        """True while no InferenceModel is declared: every model name is passed on."""
        self._settle()
        return not self._models

    @property
    def names(self) -> tuple[str, ...]:
        """Every model name a client may ask for by name, sorted."""
        self._settle()
        return tuple(sorted({*self._models, *self._exact}))

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """InferenceModels that are not used because an older one has their ``modelName``."""
        self._settle()
        return self._conflicts

    @property
    def inventory(self) -> Inventory:
        """What is served, and what has no effect; worked out anew each time."""
        return take_inventory(sorted(self._objects.values(), key=self._age))

    @property
    def targets(self) -> frozenset[str]:
        """Every name that requests are sent on under by some object's targets."""
        self._settle()
        return frozenset(name for split in self._splits.values() for name in split.names)

    @property
    def sticky(self) -> bool:
        """Whether some object's targets stick to a request header."""
        if self._stale:
            self._settle()
        return self._sticky

    def set_listed(self, listed: frozenset[str] | None) -> None:
        """Take the names that the servers list among their models; ``None`` while no server's list is known."""
        if listed != self._listed:
            self._listed = listed
            for split in self._splits.values():
                split.restrict(listed)

    def held_back(self) -> tuple[HeldBack, ...]:
        """Return the weighted targets that get no traffic, since no server has them."""
        self._settle()
        return tuple(HeldBack(key, target) for (key, _), split in self._splits.items() for target in split.held_back)

    def resolve(
        self,
        model: str,
        *,
        rewrite: str | None = None,
        objective: str | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> Resolution | None:
        """Return what ``model`` means, or ``None`` where the pool does not serve it.

        ``rewrite`` is the value of the rewrite header and ``objective`` the name of an InferenceObjective, if sent;
        ``headers`` are the request's, for targets that stick to one, names in lower case. The target comes from the
        first of: a rewrite rule for exactly this name, a rewrite rule for every name, the rewrite header, the
        InferenceModel's targets, the name itself.
        """
        if self._stale:
            self._settle()
        declared = self._models.get(model)
        rule = self._exact.get(model) or self._generic
        if declared is None and rule is None and rewrite is None and self._models:
            return None
        rewritten_by = ""
        if rule is not None:
            rewritten_by, choices = rule
            target = choices.take(headers)
        elif rewrite is not None:
            target = rewrite
        elif declared is not None:
            split = self._of_model.get(model)
            target = model if split is None else split.take(headers)
        else:
            target = model
        priority = PRIORITY[declared.spec.criticality or Criticality.STANDARD] if declared is not None else 0
        if objective is not None:
            priority = self._objectives.get(objective, priority)
        return Resolution(target, priority, rewritten_by)

    def priority_of(self, objective: str | None) -> int:
        """Return the priority an InferenceObjective gives; 0 for none or an unknown one."""
        self._settle()
        return self._objectives.get(objective, 0) if objective is not None else 0

    def _age(self, resource: Named) -> tuple[float, int]:
        created: datetime | None = resource.metadata.creation_timestamp
        return (math.inf if created is None else created.timestamp(), self._arrival[resource.key])

    def _settle(self) -> None:
        if not self._stale:
            return
        self._stale = False
        oldest_first = sorted(self._objects.values(), key=self._age)
        kept, self._splits = self._splits, {}
        self._index_models((r for r in oldest_first if isinstance(r, InferenceModel)), kept)
        self._index_rewrites((r for r in oldest_first if isinstance(r, InferenceModelRewrite)), kept)
        self._sticky = any(split.header for split in self._splits.values())
        self._objectives = {
            r.metadata.name: r.spec.priority or 0 for r in oldest_first if isinstance(r, InferenceObjective)
        }

    def _split(self, owner: Named, index: int, choices: Choices, kept: Mapping[tuple[Key, int], Split]) -> Split:
        """Return the split of an object's ``index``-th list of targets: the one of before where it is the same."""
        place = owner.key, index
        header = owner.metadata.annotations.get(STICKY_ANNOTATION, "")
        split = kept.get(place)
        if split is None or not split.matches(choices, header):
            key = owner.key
            split = Split(f"{key.kind}/{key.namespace}/{key.name}", choices, header)
            split.restrict(self._listed)
        self._splits[place] = split
        return split

    def _index_models(self, models: Iterable[InferenceModel], kept: Mapping[tuple[Key, int], Split]) -> None:
        self._models = {}
        conflicts = []
        for model in models:
            winner = self._models.setdefault(model.spec.model_name, model)
            if winner is not model:
                conflicts.append(Conflict(model.spec.model_name, winner.key, model.key))
        self._conflicts = tuple(conflicts)
        self._of_model = {}
        for name, model in self._models.items():
            choices = [(target.name, target.weight) for target in model.spec.target_models]
            if choices:
                self._of_model[name] = self._split(model, 0, choices, kept)

    def _index_rewrites(self, rewrites: Iterable[InferenceModelRewrite], kept: Mapping[tuple[Key, int], Split]) -> None:
        self._exact, self._generic = {}, None
        for rewrite in rewrites:
            for index, rule in enumerate(rewrite.spec.rules):
                choices = [(target.model_rewrite, target.weight) for target in rule.targets]
                split = self._split(rewrite, index, choices, kept)
                for match in rule.matches:
                    self._exact.setdefault(match.model.value, (rewrite.metadata.name, split))
                if not rule.matches and self._generic is None:
                    self._generic = (rewrite.metadata.name, split)
