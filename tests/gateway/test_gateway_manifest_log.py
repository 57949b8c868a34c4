"""What reading manifests brought is told once, and so that the reader knows what to do."""

from __future__ import annotations

from pathlib import Path

from signalbox.gateway.desired import Desired
from signalbox.gateway.manifest_log import ManifestLog
from signalbox.resources import Origin, Problem
from signalbox.sources import ManifestReader, Manifests

CONFIGURATION = "---\napiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"


def test_a_document_that_is_passed_over_is_named_once(tmp_path: Path) -> None:
    file = tmp_path / "epp.yaml"
    file.write_text(f"apiVersion: example.com/v1\nkind: Widget\nmetadata: {{name: w}}\n{CONFIGURATION}")
    said: list[tuple[str, str]] = []
    log = ManifestLog(lambda *line: said.append(line))
    for _ in range(2):
        log.tell(ManifestReader([tmp_path]).read(), Desired())
    place = f"EndpointPickerConfig at {file}:5 document 2"
    assert said == [
        ("manifests", "Widget/w: ignored"),
        ("manifests", f"{place}: not an object of the cluster: give the file to --config-file"),
    ]


def test_a_problem_is_told_until_it_is_solved() -> None:
    said: list[str] = []
    log = ManifestLog(lambda subject, text: said.append(f"{subject} {text}"))
    problem = Problem(Origin("a.yaml", 1, 2), "Pod", "p", "spec", "is wrong", "mend it")
    for problems in ((problem,), (problem,), ()):
        log.tell(Manifests((), problems, ()), Desired())
    assert said == [f"problem {problem}", "manifests all problems are solved"]
