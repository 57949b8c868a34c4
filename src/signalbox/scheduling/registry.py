"""Every plugin type that a configuration can name: ours, and those of installed packages."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from signalbox.scheduling import (
    admitters,
    ceilings,
    deciders,
    fairness,
    filters,
    handlers,
    identity,
    ordering,
    pickers,
    producers,
    saturation,
    scorers,
    screeners,
)
from signalbox.scheduling.filters.guide_tree import GuideTree
from signalbox.scheduling.plugin import Plugin

GROUP = "signalbox.plugins"
"""Entry points in this group name plugin classes; the name of the entry point is the plugin's type."""

ROLES = (
    "scorer",
    "filter",
    "picker",
    "handler",
    "decider",
    "detector",
    "producer",
    "admitter",
    "screener",
    "fairness policy",
    "ordering policy",
    "usage limit policy",
    "identity source",
)


@dataclass(frozen=True, slots=True)
class Registry:
    """Plugin classes by type, and what could not be loaded: by type, why."""

    types: Mapping[str, type[Plugin[Any]]]
    broken: Mapping[str, str]
    foreign: frozenset[str]
    """The types that come from other packages."""


def builtin_types() -> dict[str, type[Plugin[Any]]]:
    """Return our own plugin classes by type, by role and then by name."""
    found: list[type[Plugin[Any]]] = [GuideTree]
    for package in (
        screeners,
        scorers,
        filters,
        pickers,
        handlers,
        deciders,
        saturation,
        producers,
        admitters,
        fairness,
        ordering,
        ceilings,
        identity,
    ):
        found += [
            member
            for member in vars(package).values()
            if inspect.isclass(member) and issubclass(member, Plugin) and member.type
        ]
    found.sort(key=lambda plugin: (ROLES.index(plugin.role), plugin.type))
    return {plugin.type: plugin for plugin in found}


BUILTIN = builtin_types()


def load_registry() -> Registry:
    """Return our types and those of installed packages. A package that cannot be imported breaks only its own types."""
    types: dict[str, type[Plugin[Any]]] = dict(BUILTIN)
    broken: dict[str, str] = {}
    foreign: set[str] = set()
    for entry in _entries():
        reason = _load(entry, types)
        if reason is None:
            foreign.add(entry.name)
        elif entry.name not in types:
            broken[entry.name] = reason
    return Registry(types, broken, frozenset(foreign))


def _entries() -> Iterator[EntryPoint]:
    yield from sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value))


def _load(entry: EntryPoint, types: dict[str, type[Plugin[Any]]]) -> str | None:
    """Add the plugin class of an entry point; return why it cannot be used."""
    if entry.name in types:
        return f"{entry.value} uses the type name of another plugin"
    try:
        plugin = entry.load()
    except Exception as error:
        return f"{entry.value} cannot be imported: {type(error).__name__}: {error}"
    if not (inspect.isclass(plugin) and issubclass(plugin, Plugin)):
        return f"{entry.value} is not a subclass of a plugin base class of signalbox.scheduling.plugin"
    if inspect.isabstract(plugin):
        missing = ", ".join(sorted(plugin.__abstractmethods__))
        return f"{entry.value} does not implement {missing}"
    if plugin.type != entry.name:
        return f"{entry.value} has type {plugin.type!r}, which must equal the name of its entry point"
    types[entry.name] = plugin
    return None
