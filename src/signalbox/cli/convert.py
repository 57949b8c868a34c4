"""``signalbox convert``: manifests of the experimental inference API into those of the stable one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from signalbox.cli.output import Unwritable, write_files
from signalbox.resources import InvalidResource, Origin, Problem
from signalbox.resources.migration import Manifest, Migration, Output, migrate
from signalbox.resources.yamltext import write_yaml
from signalbox.resources.yamltree import YAMLDocument, YAMLFault, read_json, read_yaml
from signalbox.sources.manifests import SUFFIXES

OBJECTIVE_HEADER = "x-gateway-inference-objective"
STDIN = Path("-")
BAD_INPUT = 2


@dataclass(slots=True)
class Source:
    """One input file: the name it has below an output directory, its text and its documents."""

    path: str
    name: Path
    text: str = ""
    manifests: list[Manifest] = field(default_factory=list)
    json: bool = False


def run(
    paths: Sequence[Path],
    *,
    output: Path | None,
    only_converted: bool,
    force: bool = False,
    stdin: TextIO | None = None,
) -> int:
    """Convert what is under ``paths``; ``-`` is standard input. Prints problems and what is to do to stderr.

    Writes to ``output``, a file or a directory, or to stdout, and only when everything could be converted; over its own
    inputs only with ``force``. Returns the exit status: 0, or 2 where something is wrong with the input or the output
    cannot be written.
    """
    problems: list[Problem] = []
    sources = [source for path in paths for source in _sources(path, stdin or sys.stdin, problems)]
    try:
        migration = migrate(manifest for source in sources for manifest in source.manifests)
    except InvalidResource as invalid:
        problems += invalid.problems
    if problems or not any(source.manifests for source in sources):
        nothing = _problem(Origin(", ".join(map(str, paths))), "no YAML or JSON document is there", "name other paths")
        print(*(problems or [nothing]), sep="\n", file=sys.stderr)
        return BAD_INPUT
    texts = [(source, text) for source, text in _texts(sources, migration, only_converted) if text]
    if output is None:
        sys.stdout.write("---\n".join(text for _, text in texts))
    else:
        try:
            inputs = () if force else [Path(source.path) for source in sources]
            write_files(output, [(source.path, source.name, text) for source, text in texts], inputs)
        except Unwritable as error:
            print(error, file=sys.stderr)
            return BAD_INPUT
    print(*summary(migration), sep="\n", file=sys.stderr)
    return 0


def summary(migration: Migration) -> list[str]:
    """Return what was done and what clients have to do, in a few lines."""
    made = ", ".join(_count(migration.count(kind), kind) for kind in ("InferenceObjective", "InferenceModelRewrite"))
    lines = [
        f"converted {_count(migration.pools, 'InferencePool')} to v1,"
        f" {_count(migration.models, 'InferenceModel')} into {made};"
        f" {_count(migration.repointed, 'object')} refer{'s' * (migration.repointed == 1)} to v1 pools now"
    ]
    if migration.headers:
        lines.append("clients must now ask for a priority by a header:")
        width = max(len(header.model) for header in migration.headers)
        lines += [
            f"  model {header.model:{width}}  {OBJECTIVE_HEADER}: {header.objective}  (priority {header.priority})"
            for header in migration.headers
        ]
    return lines + [f"note: {note}" for note in migration.notes]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _texts(sources: Sequence[Source], migration: Migration, only_converted: bool) -> Iterator[tuple[Source, str]]:
    outputs = iter(migration.outputs)
    for source in sources:
        groups = [next(outputs) for _ in source.manifests]
        kept = [out for group in groups for out in group if out.converted or not only_converted]
        yield source, _text(source, groups, kept)


def _text(source: Source, groups: Sequence[tuple[Output, ...]], kept: Sequence[Output]) -> str:
    """Return the text of a file; one of which everything is kept as it was comes with its comments."""
    as_it_was = len(kept) == len(groups) and all(
        [out.content for out in group] == [manifest.content] and not group[0].converted
        for group, manifest in zip(groups, source.manifests, strict=True)
    )
    if as_it_was and not source.json and not source.text.startswith(("%", "---")):
        return source.text if source.text.endswith("\n") else f"{source.text}\n"
    return write_yaml([out.content for out in kept]) if kept else ""


def _sources(path: Path, stdin: TextIO, problems: list[Problem]) -> Iterator[Source]:
    if path == STDIN:
        yield _read(Source("<stdin>", Path("stdin.yaml")), stdin.buffer.read(), problems)
        return
    if not os.path.exists(path):
        problems.append(_problem(Origin(str(path)), "does not exist", "correct the path or create it"))
        return
    files = _files(path) if path.is_dir() else [path]
    for file in files:
        relative = file.relative_to(path) if path.is_dir() else Path(file.name)
        source = Source(str(file), relative.with_suffix(".yaml") if _is_json(file) else relative, json=_is_json(file))
        try:
            data = file.read_bytes()
        except OSError as error:
            reason = error.strerror or str(error)
            problems.append(_problem(Origin(str(file)), f"cannot be read: {reason}", "check its permissions"))
            continue
        yield _read(source, data, problems)


def _files(directory: Path) -> list[Path]:
    """Return the YAML and JSON files below a directory by name, without those in or with a name that is hidden."""
    return sorted(
        file
        for file in directory.rglob("*")
        if file.suffix.lower() in SUFFIXES
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(directory).parts)
    )


def _is_json(path: Path) -> bool:
    return path.suffix.lower() == ".json"


def _read(source: Source, data: bytes, problems: list[Problem]) -> Source:
    try:
        source.text = data.decode("utf-8-sig")
        documents = [read_json(source.text)] if source.json else read_yaml(source.text)
        for document in documents:
            if isinstance(document.content, dict):
                origin = Origin(source.path, document.number, document.line())
                source.manifests.append(Manifest(origin, document.content, document.line))
            elif document.content is not None:
                problems.append(_no_object(source, document))
    except UnicodeDecodeError as error:
        place = Origin(source.path, 0, data[: error.start].count(b"\n") + 1)
        problems.append(_problem(place, f"is not UTF-8 text: byte {data[error.start]:#04x}", "save it as UTF-8"))
    except YAMLFault as fault:
        problems.append(_problem(Origin(source.path, fault.document, fault.line), fault.message, fault.fix))
    return source


def _no_object(source: Source, document: YAMLDocument) -> Problem:
    origin = Origin(source.path, document.number, document.line())
    return _problem(origin, "is not a Kubernetes object", "start it with 'apiVersion:' and 'kind:'")


def _problem(origin: Origin, message: str, fix: str) -> Problem:
    return Problem(origin, "", "", "", message, fix)
