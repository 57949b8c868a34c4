"""Which model names a pool serves, what they are called on the servers, and how important their requests are.

Three kinds of objects say so. InferenceModel (v1alpha2) names a model, its criticality and its weighted targets.
InferenceModelRewrite (its successor for names) maps names to weighted targets by rule. InferenceObjective (its
successor for importance) is named by a request header and carries a priority. All three may live in one pool; a
rewrite overrides the targets of an InferenceModel, and an objective overrides its criticality.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from signalbox.pool.rotation import Rotation
from signalbox.resources import (
    Criticality,
    InferenceModel,
    InferenceModelRewrite,
    InferenceObjective,
    Key,
    RewriteRule,
)

PRIORITY = {Criticality.CRITICAL: 1, Criticality.STANDARD: 0, Criticality.SHEDDABLE: -1}
"""A criticality as a priority: above zero is critical, below zero may be shed."""

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


class Catalogue:
    """The models, rewrites and objectives of one pool. Ages are creation times, then order of arrival."""

    def __init__(self) -> None:
        self._objects: dict[Key, Named] = {}
        self._arrival: dict[Key, int] = {}
        self._arrivals = 0
        self._models: dict[str, InferenceModel] = {}
        self._rotations: dict[Key, Rotation] = {}
        self._exact: dict[str, tuple[str, Rotation]] = {}
        self._generic: tuple[str, Rotation] | None = None
        self._rules: dict[tuple[Key, int], tuple[RewriteRule, Rotation]] = {}
        self._objectives: dict[str, int] = {}
        self._conflicts: tuple[Conflict, ...] = ()
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

    def resolve(self, model: str, *, rewrite: str | None = None, objective: str | None = None) -> Resolution | None:
        """Return what ``model`` means, or ``None`` where the pool does not serve it.

        ``rewrite`` is the value of the rewrite header and ``objective`` the name of an InferenceObjective, if sent.
        The target comes from the first of: a rewrite rule for exactly this name, a rewrite rule for every name, the
        rewrite header, the InferenceModel's targets, the name itself.
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
            target = choices.take()
        elif rewrite is not None:
            target = rewrite
        elif declared is not None:
            rotation = self._rotations.get(declared.key)
            target = model if rotation is None else rotation.take()
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
        self._index_models(r for r in oldest_first if isinstance(r, InferenceModel))
        self._index_rewrites(r for r in oldest_first if isinstance(r, InferenceModelRewrite))
        self._objectives = {
            r.metadata.name: r.spec.priority or 0 for r in oldest_first if isinstance(r, InferenceObjective)
        }

    def _index_models(self, models: Iterable[InferenceModel]) -> None:
        self._models = {}
        conflicts = []
        for model in models:
            winner = self._models.setdefault(model.spec.model_name, model)
            if winner is not model:
                conflicts.append(Conflict(model.spec.model_name, winner.key, model.key))
        self._conflicts = tuple(conflicts)
        kept = self._rotations
        self._rotations = {}
        for model in self._models.values():
            choices = [(target.name, target.weight) for target in model.spec.target_models]
            if choices:
                old = kept.get(model.key)
                self._rotations[model.key] = old if old is not None and old.matches(choices) else Rotation(choices)

    def _index_rewrites(self, rewrites: Iterable[InferenceModelRewrite]) -> None:
        self._exact, self._generic = {}, None
        kept, self._rules = self._rules, {}
        for rewrite in rewrites:
            for index, rule in enumerate(rewrite.spec.rules):
                previous = kept.get((rewrite.key, index))
                if previous is not None and previous[0] == rule:
                    rotation = previous[1]
                else:
                    rotation = Rotation([(target.model_rewrite, target.weight) for target in rule.targets])
                self._rules[rewrite.key, index] = (rule, rotation)
                for match in rule.matches:
                    self._exact.setdefault(match.model.value, (rewrite.metadata.name, rotation))
                if not rule.matches and self._generic is None:
                    self._generic = (rewrite.metadata.name, rotation)
