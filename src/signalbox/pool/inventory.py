"""What the objects of a catalogue come to: which names are served as what, and which objects have no effect."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from signalbox.pool.precedence import Name, Precedence, Rule, Targets, targets_of
from signalbox.pool.split import STICKY_ANNOTATION, Split
from signalbox.resources import Criticality, InferenceModel, InferenceModelRewrite


@dataclass(frozen=True, slots=True)
class Served:
    """A model name and where its requests go."""

    name: str
    """``*`` for a rewrite of every name that no other rule matches."""
    source: str
    """The object that says so, as ``Kind name``."""
    targets: Targets
    """The name itself where the object gives none."""
    criticality: str = ""
    sticky: str = ""
    """The request header whose value decides among the targets; empty where they take turns."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a pool serves."""

    models: tuple[Served, ...]
    objectives: tuple[tuple[str, int], ...]
    """Names of InferenceObjectives with their priorities."""
    overruled: tuple[str, ...]
    """Objects, or parts of them, that another one overrules; each as a sentence with the fix."""


def take_inventory(precedence: Precedence) -> Inventory:
    """Say what the objects of one pool come to."""
    listed = [*_models(precedence), *_rules(precedence)]
    overruled = (
        *(_same_rule(rule, name, precedence.rule_of[name]) for rule, name in precedence.shadowed),
        *map(str, precedence.conflicts),
        *_hidden(precedence),
    )
    objectives = tuple(sorted(precedence.objectives.items()))
    return Inventory(tuple(sorted(listed, key=lambda served: served.name)), objectives, overruled)


def _models(precedence: Precedence) -> Iterable[Served]:
    """The models whose name no rule matches by itself."""
    every = precedence.rule_of.get(None)
    for name, model in precedence.models.items():
        if name not in precedence.rule_of:
            targets = (targets_of(model) or ((name, None),)) if every is None else every.targets
            sticky = _sticky(model if every is None else every.owner, targets)
            yield Served(name, f"InferenceModel {model.metadata.name}", targets, _criticality(model), sticky)


def _rules(precedence: Precedence) -> Iterable[Served]:
    for name, rule in precedence.rule_of.items():
        model = None if name is None else precedence.models.get(name)
        criticality = "" if model is None else _criticality(model)
        sticky = _sticky(rule.owner, rule.targets)
        yield Served("*" if name is None else name, _source(rule), rule.targets, criticality, sticky)


def _hidden(precedence: Precedence) -> Iterable[str]:
    """The models whose targets a rule overrides."""
    every = precedence.rule_of.get(None)
    for name, model in precedence.models.items():
        hiding = precedence.rule_of.get(name, every)
        if hiding is not None and model.spec.target_models:
            yield (
                f"InferenceModel {model.metadata.name}: its targetModels have no effect, {_source(hiding)} decides"
                f" where {name!r} goes; delete one of the two"
            )


def _sticky(owner: InferenceModel | InferenceModelRewrite, targets: Targets) -> str:
    return Split("", targets, owner.metadata.annotations.get(STICKY_ANNOTATION, "")).header


def _criticality(model: InferenceModel) -> str:
    return str((model.spec.criticality or Criticality.STANDARD).value)


def _source(rule: Rule) -> str:
    return f"InferenceModelRewrite {rule.owner.metadata.name}"


def _same_rule(loser: Rule, name: Name, winner: Rule) -> str:
    what = "every other name" if name is None else repr(name)
    other = winner.owner.metadata.name
    where = "earlier in the same object" if winner.owner is loser.owner else f"in the older {other}"
    return f"{_source(loser)}: its rule for {what} is not used, there is one {where}; delete one of the two"
