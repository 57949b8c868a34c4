"""Which base model each name belongs to, as ConfigMaps say.

metadata:
  labels: {inference.networking.k8s.io/bbr-managed: "true"}
data:
  baseModel: meta-llama/Llama-3.1-8B-Instruct
  adapters: |
    - food-review
    - sql-lora
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import yaml

from signalbox.resources import ConfigMap, Origin, Problem
from signalbox.resources.yamltree import YAMLFault, read_yaml

MANAGED_LABEL = "inference.networking.k8s.io/bbr-managed"
"""ConfigMaps whose value of this label is ``true`` are read."""


@dataclass(frozen=True, slots=True)
class BaseModels:
    """Base models by the names that lead to them; a base model leads to itself."""

    by_name: Mapping[str, str] = field(default_factory=dict)

    def of(self, model: str) -> str | None:
        """The base model behind a name; ``None`` where no ConfigMap names it."""
        return self.by_name.get(model)


def read_base_models(config_maps: Iterable[ConfigMap]) -> tuple[BaseModels, tuple[Problem, ...]]:
    """Read the labelled ConfigMaps, in order of age: a name that two of them claim belongs to the first.

    A ConfigMap with a mistake adds nothing, and is among the problems.
    """
    by_name: dict[str, str] = {}
    owner: dict[str, str] = {}
    problems: list[Problem] = []
    for config_map in config_maps:
        if config_map.metadata.labels.get(MANAGED_LABEL) != "true":
            continue
        base = config_map.data.get("baseModel", "").strip()
        if not base:
            problems.append(_problem(config_map, "data.baseModel", "is missing", "name the base model"))
            continue
        try:
            adapters = read_adapters(config_map.data.get("adapters", ""))
        except ValueError as error:
            problems.append(_problem(config_map, "data.adapters", str(error), "write a YAML list of adapter names"))
            continue
        for name in (base, *adapters):
            if by_name.setdefault(name, base) != base:
                other = f"belongs to {by_name[name]!r} by ConfigMap {owner[name]}, which stays in force"
                problems.append(_problem(config_map, "data", f"{name!r} {other}", "name it in one of the two"))
            owner.setdefault(name, config_map.metadata.name)
    return BaseModels(by_name), tuple(problems)


def read_adapters(text: str) -> tuple[str, ...]:
    """The names in a YAML list; ``1`` and ``true`` are names like others. Raises ValueError for anything else."""
    try:
        documents = list(read_yaml(text))  # refuses what PyYAML's parser cannot bear
    except YAMLFault as fault:
        raise ValueError(f"is not YAML, line {fault.line}: {fault.message}") from None
    if len(documents) > 1:
        raise ValueError("is not a list of names")
    content = yaml.load(text, Loader=yaml.CBaseLoader)  # every value is the text it is written as
    if content is None or content == "":
        return ()
    if not isinstance(content, list) or not all(isinstance(name, str) and name for name in content):
        raise ValueError("is not a list of names")
    return tuple(content)


def _problem(config_map: ConfigMap, place: str, message: str, fix: str) -> Problem:
    return Problem(config_map.origin or Origin(""), "ConfigMap", config_map.metadata.name, place, message, fix)
