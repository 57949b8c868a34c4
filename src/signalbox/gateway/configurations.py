"""The EndpointPickerConfigs of the pickers: checked when they are read, before any picker sees them."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from signalbox.gateway.desired import Desired
from signalbox.gateway.picker_deployment import FILE_FLAG, TEXT_FLAG, Configuration
from signalbox.resources import ConfigMap, Key, Origin, Problem, unexpected
from signalbox.resources.yamltree import YAMLFault, read_yaml
from signalbox.scheduling import InvalidPolicy, load_policy

log = logging.getLogger("signalbox.configuration")

Verdict = tuple[tuple[Problem, ...], tuple[str, ...]]
"""What is wrong with a text, and what a reader of a good one should know."""

_BLOCK = re.compile(r":\s*[|>][-+0-9]*\s*(#.*)?$")


class ConfigurationCheck:
    """Finds the configuration of each picker and holds back what the picker would refuse.

    The last good one of the same pool stays in force, as the last good content of a file does. A pool that never had a
    good one is served by the guide's filter tree until it gets one.
    """

    def __init__(self, file: Path | None = None) -> None:
        """``file`` holds the configuration of every picker, whatever their Deployments say."""
        self._file = file
        self._good: dict[Key, str] = {}
        self._checked: dict[str, Verdict] = {}
        self._before: dict[str, Verdict] = {}

    def check(self, desired: Desired) -> tuple[Desired, tuple[Problem, ...]]:
        """Return ``desired`` with the texts to hand to pickers, and what is wrong with the others."""
        good: dict[Key, str] = {}
        self._before, self._checked = self._checked, {}
        problems: dict[Problem, None] = {}
        notes: dict[str, None] = {}
        refused: dict[Key, tuple[Problem, ...]] = {}
        for pool in dict.fromkeys((*desired.workloads.pickers, *(each.key for each in desired.pools))):
            settings = desired.workloads.pickers.get(pool)
            configuration = None if settings is None else settings.configuration
            if self._file is not None:
                text, found, remarks = self._read_file(self._file)
            elif configuration is not None:
                text, found, remarks = self._read(configuration, desired.config_maps)
            else:
                continue
            if found:
                refused[pool] = tuple(found)
            problems |= dict.fromkeys(found)
            notes |= dict.fromkeys(remarks)
            chosen = self._good.get(pool) if text is None else text
            if chosen is not None:
                good[pool] = chosen
        self._good = good
        notes = dict.fromkeys((*desired.notes, *notes))
        desired = replace(desired, configurations=good, refused_configurations=refused, notes=tuple(notes))
        return desired, tuple(problems)

    def _read_file(self, file: Path) -> tuple[str | None, list[Problem], list[str]]:
        """The text of a file if it is good, the problems if it is not, and what its reader should know."""
        place = Origin(str(file))
        try:
            data = file.read_bytes()
            text = data.decode("utf-8-sig")
        except OSError as error:
            fix = "put it back, or give another with --config-file"
            return None, [Problem(place, "", "", "", f"cannot be read: {error.strerror or error}", fix)], []
        except UnicodeDecodeError as error:
            place = place._replace(line=data[: error.start].count(b"\n") + 1)
            return None, [Problem(place, "", "", "", "is not UTF-8 text", "save it as UTF-8")], []
        found, notes = self._verdict(text)
        problems = [replace(problem, origin=problem.origin._replace(path=str(file))) for problem in found]
        return None if problems else text, problems, [f"{file}: {note}" for note in notes]

    def _read(
        self, configuration: Configuration, config_maps: Mapping[tuple[str, str], ConfigMap]
    ) -> tuple[str | None, list[Problem], list[str]]:
        """The text if it is good, the problems if it is not, and what its reader should know."""
        if configuration.text is not None:
            where = configuration.origin, "Deployment", configuration.deployment
            return self._judge(configuration.text, *where, f"{configuration.field} --{TEXT_FLAG}", None)
        if configuration.volume is None:
            message = f"no ConfigMap is mounted at {configuration.file}"
            fix = "mount one with the EndpointPickerConfig; other volumes hold nothing here"
            return None, [_deployment_problem(configuration, message, fix)], []
        name, key = configuration.volume.config_map, configuration.key
        config_map = config_maps.get((configuration.namespace, name))
        files = configuration.volume.files(config_map) or {}
        if config_map is None or configuration.file not in files:
            message = f"ConfigMap {name} " + ("does not exist" if config_map is None else f"has no key {key}")
            fix = "add it" if config_map is None else "add the key, or correct the path"
            return None, [_deployment_problem(configuration, message, fix)], []
        origin = config_map.origin or Origin("")
        try:
            text = files[configuration.file].decode()
        except UnicodeDecodeError:
            problem = Problem(origin, "ConfigMap", name, f"binaryData[{key}]", "is not UTF-8", "write it as data")
            return None, [problem], []
        return self._judge(text, origin, "ConfigMap", name, f"data[{key}]", line_of_text(config_map, key))

    def _judge(
        self, text: str, origin: Origin, kind: str, name: str, field: str, first_line: int | None
    ) -> tuple[str | None, list[Problem], list[str]]:
        found, notes = self._verdict(text)
        problems = [in_manifest(problem, origin, kind, name, field, first_line) for problem in found]
        return None if problems else text, problems, [f"{kind}/{name} {field}: {note}" for note in notes]

    def _verdict(self, text: str) -> Verdict:
        known = self._checked.get(text) or self._before.get(text) or _ask(text)
        self._checked[text] = known
        return known


def _ask(text: str) -> Verdict:
    if not text.strip():
        fix = f"write an EndpointPickerConfig, or take --{FILE_FLAG} away"
        return (Problem(Origin(""), "", "", "", "is empty", fix),), ()
    try:
        return (), tuple(load_policy(text, name="").notes)
    except InvalidPolicy as invalid:
        return tuple(invalid.problems), ()
    except Exception as error:  # of our own making, or of a plugin's: one text is refused, and everything goes on
        log.exception("an EndpointPickerConfig could not be checked")
        return (unexpected(Origin(""), error),), ()


def _deployment_problem(configuration: Configuration, message: str, fix: str) -> Problem:
    field = f"{configuration.field} --{FILE_FLAG}"
    return Problem(configuration.origin, "Deployment", configuration.deployment, field, message, fix)


def in_manifest(problem: Problem, origin: Origin, kind: str, name: str, field: str, first_line: int | None) -> Problem:
    """A problem of a text that is the ``field`` of an object: at its line of the manifest, under the object's name.

    ``first_line`` is where the text begins; without one the problem is placed at the object.
    """
    line = origin.line if first_line is None else first_line + max(problem.origin.line, 1) - 1
    inside = f"{field}.{problem.field}" if problem.field else field
    return Problem(Origin(origin.path, origin.document, line), kind, name, inside, problem.message, problem.fix)


def line_of_text(config_map: ConfigMap, key: str) -> int | None:
    """The line of the manifest on which the text of a key begins; ``None`` where its lines are not the file's lines.

    They are for a block scalar (``key: |``), which is how a text of several lines is written in a ConfigMap.
    """
    origin = config_map.origin
    if origin is None or not origin.path:
        return None
    try:
        text = Path(origin.path).read_text(encoding="utf-8")
        document = next((each for each in read_yaml(text) if each.number == origin.document), None)
    except (OSError, UnicodeDecodeError, YAMLFault):
        return None  # edited meanwhile; the problem is told all the same
    if document is None or not isinstance(document.content, Mapping):
        return None
    path: tuple[str | int, ...] = ("data", key)
    for index, item in enumerate(document.content.get("items") or ()):
        if isinstance(item, Mapping) and (item.get("metadata") or {}).get("name") == config_map.metadata.name:
            path = ("items", index, *path)
    line = document.line(path)
    return line + 1 if _BLOCK.search(text.splitlines()[line - 1]) else None
