"""Which of several objects that say something of one name is followed: the oldest, and a rewrite before a model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from signalbox.resources import InferenceModel, InferenceModelRewrite, InferenceObjective, Key

Name = str | None
"""What a rewrite rule matches; ``None`` for every name that no other rule matches."""

Named = InferenceModel | InferenceModelRewrite | InferenceObjective
Targets = tuple[tuple[str, int | None], ...]
"""Names on the servers with their weights."""


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
class Rule:
    """One rule of an InferenceModelRewrite."""

    owner: InferenceModelRewrite
    index: int
    names: tuple[Name, ...]
    targets: Targets


@dataclass(frozen=True, slots=True)
class Precedence:
    """What is followed for each name."""

    models: dict[str, InferenceModel]
    """By ``modelName``."""
    rules: tuple[Rule, ...]
    """Every rule, followed or not, oldest object first."""
    rule_of: dict[Name, Rule]
    objectives: dict[str, int]
    """Priorities by the name of the InferenceObjective."""
    conflicts: tuple[Conflict, ...]
    shadowed: tuple[tuple[Rule, Name], ...]
    """Rules that are not followed for a name, since another one has it."""


def targets_of(model: InferenceModel) -> Targets:
    """Return the targets an InferenceModel gives; empty where requests keep their name."""
    return tuple((target.name, target.weight) for target in model.spec.target_models)


def sort_out(oldest_first: Iterable[Named]) -> Precedence:
    """Decide between the objects of one pool, given oldest first."""
    models: dict[str, InferenceModel] = {}
    rules: list[Rule] = []
    rule_of: dict[Name, Rule] = {}
    objectives: dict[str, int] = {}
    conflicts: list[Conflict] = []
    shadowed: list[tuple[Rule, Name]] = []
    for found in oldest_first:
        if isinstance(found, InferenceModel):
            winner = models.setdefault(found.spec.model_name, found)
            if winner is not found:
                conflicts.append(Conflict(found.spec.model_name, winner.key, found.key))
        elif isinstance(found, InferenceModelRewrite):
            for rule in _rules(found):
                rules.append(rule)
                shadowed += [(rule, name) for name in rule.names if rule_of.setdefault(name, rule) is not rule]
        else:
            objectives[found.metadata.name] = found.spec.priority or 0
    return Precedence(models, tuple(rules), rule_of, objectives, tuple(conflicts), tuple(shadowed))


def _rules(rewrite: InferenceModelRewrite) -> Iterable[Rule]:
    for index, rule in enumerate(rewrite.spec.rules):
        names: tuple[Name, ...] = tuple(match.model.value for match in rule.matches) or (None,)
        yield Rule(rewrite, index, names, tuple((target.model_rewrite, target.weight) for target in rule.targets))
