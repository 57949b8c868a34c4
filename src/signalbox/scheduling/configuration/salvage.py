"""What can still be checked of a configuration whose shape is wrong in places, so that no fault hides another."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from signalbox.scheduling.configuration.models import API_VERSIONS, KIND, NAME_LENGTH, EndpointPickerConfig

UNREADABLE = "(unreadable)"
"""Stands in for the type of a plugin, a reference to one, or the profiles, that could not be read; its place is kept,
so that what comes after it is still found on its line. It means nothing in a file that has no other problem."""

_ROUNDS = 8
_HEAD = {"apiVersion": API_VERSIONS[0], "kind": KIND}
_WITHOUT_PLUGINS = frozenset({*_HEAD, "featureGates"})


def salvage(
    content: Mapping[str, Any], error: ValidationError, tell: Callable[[ValidationError], None]
) -> EndpointPickerConfig | None:
    """Return the configuration without what ``error`` says is wrong; ``None`` where too little is left to judge.

    ``tell`` is given what else turns out to be wrong once that is taken away.

    Unknown fields go; an entry of ``plugins`` or of a profile becomes `UNREADABLE`, and so do the profiles where one
    cannot be read as a whole; any other section is left out. Without the plugins only the feature gates are judged.
    """
    rest = copy.deepcopy(dict(content))
    for _ in range(_ROUNDS):
        for details in error.errors(include_url=False):
            path = tuple(part for part in details["loc"] if part != "[key]")
            if path:
                _take_away(rest, path, unknown=details["type"] == "extra_forbidden")
        try:
            return EndpointPickerConfig.model_validate(rest, by_alias=True, by_name=False)
        except ValidationError as deeper:
            if _places(deeper) <= _places(error):
                return None
            tell(deeper)
            error = deeper
    return None


def _places(error: ValidationError) -> set[tuple[str | int, ...]]:
    return {details["loc"] for details in error.errors(include_url=False)}


def _take_away(rest: dict[str, Any], path: tuple[str | int, ...], *, unknown: bool) -> None:
    """Take away what is wrong at ``path``."""
    if unknown:
        *above, field = path
        holder = _at(rest, tuple(above))
        if isinstance(holder, dict):
            holder.pop(field, None)
        return
    section = str(path[0])
    match path:
        case ("plugins", int(index), *_):
            entry = rest["plugins"][index]
            name = entry.get("name") or entry.get("type") if isinstance(entry, dict) else None
            if not isinstance(name, str) or len(name) > NAME_LENGTH:
                name = f"{UNREADABLE}[{index}]"
            rest["plugins"][index] = {"name": name, "type": UNREADABLE}
        case ("schedulingProfiles", int(index), "plugins", int(place), *_):
            entries = _at(rest, ("schedulingProfiles", index, "plugins"))
            if isinstance(entries, list):
                entries[place] = {"pluginRef": UNREADABLE}
        case _ if section in _HEAD:
            rest[section] = _HEAD[section]
        case ("schedulingProfiles", *_):
            rest["schedulingProfiles"] = [{"name": UNREADABLE}]
        case ("plugins", *_):
            for name in [name for name in rest if name not in _WITHOUT_PLUGINS]:
                del rest[name]
            rest["schedulingProfiles"] = [{"name": UNREADABLE}]
        case _:
            rest.pop(section, None)


def _at(document: Any, path: tuple[str | int, ...]) -> Any:
    try:
        for part in path:
            document = document[part]
    except (LookupError, TypeError):
        return None  # taken away already, with what it was in
    return document
