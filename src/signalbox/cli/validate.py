"""``signalbox validate``: check manifests and endpoint picker configurations before they are applied."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from signalbox.adapters.config import InvalidConfig, parse_config
from signalbox.cli.configuration import staleness_notes
from signalbox.cli.manifest_sets import manifest_sets
from signalbox.gateway.arguments import ArgumentCheck
from signalbox.gateway.configurations import in_manifest, line_of_text
from signalbox.resources import ConfigMap, Origin, Problem, Skipped
from signalbox.resources.yamltree import read_json, read_yaml
from signalbox.scheduling import InvalidPolicy, Policy, load_document, load_policy
from signalbox.scheduling.configuration import KIND
from signalbox.scheduling.configuration.schema import config_schema
from signalbox.signals.pace import INTERVAL
from signalbox.sources import ManifestReader


class Report:
    """What was found under some paths."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.resources = 0
        self.configurations = 0

    def policy(self, place: str, policy: Policy) -> None:
        """Count a valid configuration and keep its notes."""
        self.configurations += 1
        notes = (*policy.notes, *staleness_notes(policy, INTERVAL))
        self.notes += [f"{place}: note: {note}" for note in notes]

    def invalid(self, problems: Sequence[Problem]) -> None:
        """Count an invalid configuration and keep its problems."""
        self.configurations += 1
        self.problems += [str(problem) for problem in problems]


def check(paths: Sequence[Path]) -> Report:
    """Check every resource and every EndpointPickerConfig under ``paths``, also one inside a ConfigMap. Objects of one
    name are a problem within one of their `manifest_sets`."""
    report = Report()
    for path, sets in manifest_sets(paths):
        if len(sets) > 1:
            named = ", ".join([str(directory.relative_to(path)) for (directory,) in sets])
            report.notes.append(f"{path}: note: holds {len(sets)} sets of manifests, each judged by itself: {named}")
        for members in sets:
            _check_set(members, report)
    report.problems = list(dict.fromkeys(report.problems))  # of a file that belongs to two sets
    if not (report.problems or report.resources or report.configurations):
        named = ", ".join(map(str, paths))
        report.problems.append(f"{named}: nothing to check: no YAML or JSON document there")
    return report


def _check_set(paths: Sequence[Path], report: Report) -> None:
    manifests = ArgumentCheck().check(ManifestReader(paths).read())
    report.problems += [str(problem) for problem in manifests.problems]
    report.resources += len(manifests.resources)
    for skipped in manifests.skipped:
        if skipped.kind == KIND:
            _check_document(skipped, report)
    for resource in manifests.resources:
        if isinstance(resource, ConfigMap):
            _check_config_map(resource, report)


def _check_document(skipped: Skipped, report: Report) -> None:
    path = Path(skipped.origin.path)
    text = path.read_text("utf-8-sig")
    documents = [read_json(text)] if path.suffix.lower() == ".json" else read_yaml(text)
    for document in documents:
        if document.number == skipped.origin.document:
            try:
                report.policy(str(skipped.origin), load_document(document.content, skipped.origin, document.line))
            except InvalidPolicy as invalid:
                report.invalid(invalid.problems)


def _check_config_map(resource: ConfigMap, report: Report) -> None:
    origin = resource.origin or Origin("")
    for key, text in resource.data.items():
        if "vLLMLoRAConfig:" in text:
            try:
                parse_config(text, f"{origin} ConfigMap/{resource.metadata.name} {key}")
            except InvalidConfig as error:
                report.problems += error.problems
        if f"kind: {KIND}" not in text:
            continue
        name, field = resource.metadata.name, f"data[{key}]"
        try:
            report.policy(f"{origin} ConfigMap/{name} {field}", load_policy(text, name=""))
        except InvalidPolicy as invalid:
            begins = line_of_text(resource, key)
            report.invalid([in_manifest(each, origin, "ConfigMap", name, field, begins) for each in invalid.problems])


def run(paths: Sequence[Path], *, schema: bool) -> int:
    """Print the problems under ``paths``, one a line, and a summary; or the schema. Returns the exit status."""
    if schema:
        print(json.dumps(config_schema(), indent=2))
        return 0
    report = check(paths)
    for line in (*report.problems, *report.notes):
        print(line)
    objects = f"{report.resources} resource{'s' * (report.resources != 1)}"
    configurations = f"{report.configurations} endpoint picker configuration{'s' * (report.configurations != 1)}"
    count = len(report.problems)
    verdict = f"{count} problem{'s' * (count != 1)}" if count else "no problems"
    print(f"checked {objects} and {configurations}: {verdict}")
    return 1 if report.problems else 0
