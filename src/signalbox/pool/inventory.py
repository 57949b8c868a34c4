"""What the objects of a catalogue come to: which names are served as what, and which objects have no effect."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from signalbox.resources import InferenceModel, InferenceModelRewrite, InferenceObjective, Key


@dataclass(frozen=True, slots=True)
class Served:
    """A model name and where its requests go."""

    name: str
    """``*`` for a rewrite of every name that no other rule matches."""
    source: str
    """The object that says so, as ``Kind name``."""
    targets: tuple[tuple[str, int | None], ...]
    """Names on the servers with their weights; the name itself where the object gives none."""
    criticality: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a pool serves."""

    models: tuple[Served, ...]
    objectives: tuple[tuple[str, int], ...]
    """Names of InferenceObjectives with their priorities."""
    overruled: tuple[str, ...]
    """Objects, or parts of them, that another one overrules; each as a sentence with the fix."""


def take_inventory(oldest_first: Iterable[InferenceModel | InferenceModelRewrite | InferenceObjective]) -> Inventory:
    """Sort out the objects of one pool, given oldest first: of two that claim a name the older one serves it."""
    objects = tuple(oldest_first)
    overruled: list[str] = []
    rules: dict[str, tuple[Key, Served]] = {}
    for rewrite in (found for found in objects if isinstance(found, InferenceModelRewrite)):
        for rule in rewrite.spec.rules:
            targets = tuple((target.model_rewrite, target.weight) for target in rule.targets)
            for name in [match.model.value for match in rule.matches] or ["*"]:
                served = Served(name, f"InferenceModelRewrite {rewrite.metadata.name}", targets)
                key, first = rules.setdefault(name, (rewrite.key, served))
                if first is not served:
                    overruled.append(_same_rule(rewrite.metadata.name, name, key))
    models: dict[str, InferenceModel] = {}
    listed: list[Served] = []
    for model in (found for found in objects if isinstance(found, InferenceModel)):
        name = model.spec.model_name
        winner = models.setdefault(name, model)
        if winner is not model:
            overruled.append(
                f"InferenceModel {model.metadata.name} is not used: modelName {name!r} belongs to the older"
                f" {winner.metadata.name}; give it another modelName or delete one of the two"
            )
            continue
        targets = tuple((target.name, target.weight) for target in model.spec.target_models)
        hiding = rules.get(name) or rules.get("*")
        if hiding is not None and targets:
            overruled.append(
                f"InferenceModel {model.metadata.name}: its targetModels have no effect, {hiding[1].source} decides"
                f" where {name!r} goes; delete one of the two"
            )
        if name not in rules:
            shown = hiding[1].targets if hiding is not None else targets or ((name, None),)
            listed.append(Served(name, f"InferenceModel {model.metadata.name}", shown, _criticality(model)))
    for name, (_, served) in rules.items():
        criticality = _criticality(models[name]) if name in models else ""
        listed.append(Served(name, served.source, served.targets, criticality))
    objectives = {
        found.metadata.name: found.spec.priority or 0 for found in objects if isinstance(found, InferenceObjective)
    }
    return Inventory(
        tuple(sorted(listed, key=lambda served: served.name)), tuple(sorted(objectives.items())), tuple(overruled)
    )


def _criticality(model: InferenceModel) -> str:
    return "Standard" if model.spec.criticality is None else str(model.spec.criticality.value)


def _same_rule(loser: str, name: str, winner: Key) -> str:
    what = "every other name" if name == "*" else repr(name)
    where = "earlier in the same object" if winner.name == loser else f"in the older {winner.name}"
    return (
        f"InferenceModelRewrite {loser}: its rule for {what} is not used, there is one {where}; delete one of the two"
    )
