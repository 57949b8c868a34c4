"""What may not change when an object is updated."""

from __future__ import annotations

from collections.abc import Iterator

from signalbox.resources.explain import Path, dotted
from signalbox.resources.inferencemodel import IMMUTABLE
from signalbox.resources.metadata import Resource
from signalbox.resources.problems import Origin, Problem
from signalbox.resources.strict import Strict, describe


def check_update(old: Resource, new: Resource) -> tuple[Problem, ...]:
    """Return what an API server would refuse in replacing ``old`` by ``new``, both valid; empty where nothing.

    An object that was deleted in between is no update: do not call this for it. Of the kinds read here only
    InferenceModel has such a rule: its ``modelName`` stays. Raises ValueError for two different objects.
    """
    if old.key != new.key:
        raise ValueError(f"{new.key} is no update of {old.key}")
    place = new.origin or Origin("")
    return tuple(
        Problem(
            place,
            new.kind,
            new.metadata.name,
            dotted(path),
            f"is immutable: it was {describe(before)}, now it is {describe(after)}",
            f"change it back, or delete {new.kind} {new.metadata.name} and create it anew",
        )
        for path, before, after in _changed(old, new, ())
    )


def _changed(old: Strict, new: Strict, path: Path) -> Iterator[tuple[Path, object, object]]:
    if type(old) is not type(new):
        return
    for name, field in type(old).model_fields.items():
        before, after = getattr(old, name), getattr(new, name)
        here = (*path, field.alias or name)
        if IMMUTABLE in field.metadata and before != after:
            yield here, before, after
        elif isinstance(before, Strict) and isinstance(after, Strict):
            yield from _changed(before, after, here)
