"""Which model names a pool serves, what they are called on the servers, and how important their requests are.

Three kinds of objects say so. InferenceModel (v1alpha2) names a model, its criticality and its weighted targets.
InferenceModelRewrite (its successor for names) maps names to weighted targets by rule. InferenceObjective (its
successor for importance) is named by a request header and carries a priority. All three may live in one pool; a
rewrite overrides the targets of an InferenceModel, and an objective overrides its criticality.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from signalbox.pool.inventory import Inventory, take_inventory
from signalbox.pool.precedence import Conflict, Name, Named, sort_out, targets_of
from signalbox.pool.resolution import Resolution
from signalbox.pool.split import STICKY_ANNOTATION, Choices, Split
from signalbox.resources import Criticality, Key

__all__ = ["Catalogue", "HeldBack", "Resolution", "Unloaded"]

_NO_HEADERS: Final[Mapping[str, str]] = {}

_Place = tuple[Key, tuple[Name, ...]]
"""What a list of targets belongs to: an object, and of a rewrite the names its rule matches."""


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A weighted target that gets no traffic, since no server has loaded it."""

    owner: Key
    target: str
    instead: tuple[str, ...] = ()
    """The targets of before, which take its requests; empty where other targets of the object do."""

    def __str__(self) -> str:
        until = f", and until then requests still go to {_names(self.instead)}" if self.instead else ""
        return (
            f"{self.owner.kind} {self.owner.namespace}/{self.owner.name}: target {self.target!r} gets no traffic: no"
            f" ready server lists it among its models{until}; load it, or correct its name"
        )


@dataclass(frozen=True, slots=True)
class Unloaded:
    """An object none of whose targets is loaded anywhere, neither now nor before it was changed."""

    owner: Key
    targets: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.owner.kind} {self.owner.namespace}/{self.owner.name}: no target is loaded anywhere: requests get"
            f" the server's 404; load {_names(self.targets)}, or correct the name"
        )


def _names(targets: tuple[str, ...]) -> str:
    return " or ".join([repr(target) for target in targets])


class Catalogue:
    """The models, rewrites and objectives of one pool. Ages are creation times, then order of arrival."""

    def __init__(self) -> None:
        self._objects: dict[Key, Named] = {}
        self._arrival: dict[Key, int] = {}
        self._arrivals = 0
        self._precedence = sort_out(())
        self._splits: dict[_Place, Split] = {}
        self._priorities: dict[str, int] = {}  # by the names of InferenceModels
        self._of_model: dict[str, Split] = {}
        self._rules: dict[Name, tuple[str, Split]] = {}
        self._plain: dict[str, Resolution] = {}  # of InferenceModels that are their own target, whatever the request
        self._listed: frozenset[str] | None = None
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
        return not self._priorities

    @property
    def names(self) -> tuple[str, ...]:
        """Every model name a client may ask for by name, sorted."""
        self._settle()
        return tuple(sorted({*self._priorities, *(name for name in self._rules if name is not None)}))

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """InferenceModels that are not used because an older one has their ``modelName``."""
        self._settle()
        return self._precedence.conflicts

    @property
    def inventory(self) -> Inventory:
        """What is served, and what has no effect; worked out anew each time."""
        self._settle()
        return take_inventory(self._precedence)

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
            self._settle()  # a change of targets that came first was made in view of the lists of then
            self._listed = listed
            for split in self._splits.values():
                split.restrict(listed)

    def held_back(self) -> tuple[HeldBack, ...]:
        """Return the weighted targets that get no traffic, since no server has them."""
        self._settle()
        return tuple(
            HeldBack(key, target, tuple(name for name, _ in split.in_force) if split.stands_in else ())
            for key, split in self._followed()
            for target in split.held_back
        )

    def unloaded(self) -> tuple[Unloaded, ...]:
        """Return the objects whose requests get a server's 404, since no server has any of their targets."""
        self._settle()
        return tuple(Unloaded(key, split.names) for key, split in self._followed() if split.unloaded)

    def _followed(self) -> Iterator[tuple[Key, Split]]:
        """The splits that requests come to: not those of a model or a rule that another object overrules."""
        by_rule = {id(split) for _, split in self._rules.values()}
        hidden = self._rules.keys() if None not in self._rules else self._of_model.keys()
        by_model = {id(split) for name, split in self._of_model.items() if name not in hidden}
        for (key, _), split in self._splits.items():
            if id(split) in by_rule or id(split) in by_model:
                yield key, split

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
        if rewrite is None and objective is None:
            plain = self._plain.get(model)
            if plain is not None:
                return plain
        declared = self._priorities.get(model)
        rules = self._rules
        rule = (rules.get(model) or rules.get(None)) if rules else None
        if declared is None and rule is None and rewrite is None and self._priorities:
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
        priority = 0 if declared is None else declared
        if objective is not None:
            priority = self._precedence.objectives.get(objective, priority)
        return Resolution(target, priority, rewritten_by)

    def priority_of(self, objective: str | None) -> int:
        """Return the priority an InferenceObjective gives; 0 for none or an unknown one."""
        self._settle()
        return self._precedence.objectives.get(objective, 0) if objective is not None else 0

    def _age(self, resource: Named) -> tuple[float, int]:
        created: datetime | None = resource.metadata.creation_timestamp
        return (math.inf if created is None else created.timestamp(), self._arrival[resource.key])

    def _settle(self) -> None:
        if not self._stale:
            return
        self._stale = False
        before, kept = self._precedence, self._splits
        found = self._precedence = sort_out(sorted(self._objects.values(), key=self._age))
        self._splits, self._of_model, self._rules = {}, {}, {}
        for name, model in found.models.items():
            choices = targets_of(model)
            if choices:
                plain = before.models.get(name)
                itself = plain is not None and plain.key == model.key and not plain.spec.target_models
                self._of_model[name] = self._split(model, (), choices, kept, ((name, None),) if itself else ())
        for rule in found.rules:
            split = self._split(rule.owner, rule.names, rule.targets, kept)
            for matched in rule.names:
                if found.rule_of[matched] is rule:
                    self._rules[matched] = (rule.owner.metadata.name, split)
        self._priorities = {
            name: (model.spec.criticality or Criticality.STANDARD).priority for name, model in found.models.items()
        }
        self._plain = {
            name: Resolution(name, priority)
            for name, priority in self._priorities.items()
            if name not in self._of_model and name not in self._rules and None not in self._rules
        }
        self._sticky = any(split.header for split in self._splits.values())

    def _split(
        self,
        owner: Named,
        names: tuple[Name, ...],
        choices: Choices,
        kept: Mapping[_Place, Split],
        before: Choices = (),
    ) -> Split:
        """Return the split of a list of targets: the one of before where it is the same. Otherwise what was in force
        until now, ``before`` where there was no split, goes on while nothing of the new list is loaded."""
        place = owner.key, names
        header = owner.metadata.annotations.get(STICKY_ANNOTATION, "")
        split = kept.get(place)
        if split is None or not split.matches(choices, header):
            in_force = before if split is None else split.in_force
            if self._listed is not None:
                in_force = [choice for choice in in_force if choice[0] in self._listed]
            key = owner.key
            split = Split(f"{key.kind}/{key.namespace}/{key.name}", choices, header, in_force)
            split.restrict(self._listed)
        self._splits.setdefault(place, split)
        return split
