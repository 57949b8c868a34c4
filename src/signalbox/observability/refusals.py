"""What was refused before a picker could see it, passed on to the picker in a file.

``signalbox up`` checks manifests and configurations, and hands pickers only what is good. Who asks a picker what is
wrong must hear of the rest all the same.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple


class Refusals(NamedTuple):
    """Problems as sentences, each with place, object, field and fix."""

    objects: tuple[str, ...] = ()
    configuration: tuple[str, ...] = ()
    """What is wrong with the picker's EndpointPickerConfig as it is now."""

    def text(self) -> str:
        """The content of the file."""
        return json.dumps(self._asdict(), indent=2) + "\n"


def read_refusals(path: Path) -> Refusals:
    """Read such a file; one that cannot be read is told like a refused object."""
    try:
        document = json.loads(path.read_bytes())
        return Refusals(_sentences(document, "objects"), _sentences(document, "configuration"))
    except OSError as error:
        return Refusals((f"{path}: cannot be read: {error.strerror or error}; put it back or drop --refused-file",))
    except (ValueError, TypeError, KeyError):
        fix = 'write {"objects": [...], "configuration": [...]}, two lists of sentences'
        return Refusals((f"{path}: does not say what was refused; {fix}",))


def _sentences(document: dict[str, list[str]], name: str) -> tuple[str, ...]:
    listed = document[name]
    if not isinstance(listed, list):
        raise TypeError(f"{name} is no list")
    return tuple(map(str, listed))
