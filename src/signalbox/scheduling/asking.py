"""How a plugin finds the one it asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from signalbox.scheduling.plugin import ParameterFault, Plugin

A = TypeVar("A", bound=Plugin[Any])


def find_plugin(plugins: Mapping[str, Plugin[Any]], kind: type[A], name: str, *at: str) -> A:
    """Return the plugin of a kind that is called ``name``, the first one for no name; ``at`` leads to the parameter
    that names it.

    Raises:
        ParameterFault: the name is another plugin's or nobody's.
    """
    known = {key: plugin for key, plugin in plugins.items() if isinstance(plugin, kind)}
    if not name and known:
        return next(iter(known.values()))
    found = known.get(name)
    if found is None:
        message = f"{name!r} is not a plugin of type {kind.type}" if name else f"there is no plugin of type {kind.type}"
        otherwise = f"add one to plugins under the name {name!r}" if name else "add one to plugins and name it here"
        fix = f"use one of {', '.join(known)}" if known else otherwise
        raise ParameterFault(message, fix, *at)
    return found
