"""``signalbox validate``: one problem a line, a summary, and the exit status."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from typer.testing import CliRunner

from signalbox.cli.main import app
from signalbox.cli.validate import run

EXAMPLES = Path(__file__).parents[2] / "examples"
GOOD = """\
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: queue-scorer
- type: passthrough-parser
"""
BAD = GOOD.replace("queue-scorer", "queue-scorr")
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: []}\n"
SERVING = POD.replace("[]", "[{name: c}]")


def config_map(text: str) -> str:
    body = textwrap.indent(text, "    ")
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: epp}}\ndata:\n  other: x\n  epp.yaml: |\n{body}"


def checked(capsys: pytest.CaptureFixture[str], *paths: Path) -> tuple[int, list[str]]:
    status = run(paths, schema=False)
    return status, capsys.readouterr().out.splitlines()


def test_the_walk_throughs_manifests_are_valid(capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = checked(capsys, EXAMPLES / "get-started")
    assert status == 0
    assert lines == ["checked 8 resources and 0 endpoint picker configurations: no problems"]


def test_a_staleness_threshold_below_the_usual_scrape_interval_is_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    detector = "- type: utilization-detector\n  parameters: {metricsStalenessThreshold: 10ms}\n"
    (tmp_path / "epp.yaml").write_text(GOOD + detector)
    status, lines = checked(capsys, tmp_path)
    assert status == 0
    assert any("metricsStalenessThreshold 0.01 s is below the 0.05 s between two scrapes" in line for line in lines)


@pytest.mark.parametrize("where", ["document", "second document", "json", "config map"])
def test_a_configuration_is_checked_wherever_it_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    plain = {"apiVersion": "llm-d.ai/v1alpha1", "kind": "EndpointPickerConfig", "plugins": [{"type": "queue-scorr"}]}
    texts = {
        "document": ("epp.yaml", BAD, ":4 document 1 plugins[0].type"),
        "second document": ("epp.yaml", f"---\n{config_map('')}\n---\n{BAD}", "document 2 plugins[0].type"),
        "json": ("epp.json", json.dumps(plain), ":1 document 1 plugins[0].type"),
        "config map": ("map.yaml", config_map(BAD), ":10 document 1 ConfigMap/epp data[epp.yaml].plugins[0].type"),
    }
    name, text, place = texts[where]
    (tmp_path / name).write_text(text)
    status, lines = checked(capsys, tmp_path)
    assert status == 1
    assert place in lines[0]
    assert lines[0].endswith("'queue-scorr' is not a known plugin type; did you mean 'queue-scorer'?")
    assert lines[-1].endswith("1 endpoint picker configuration: 1 problem")


def test_problems_of_resources_and_of_configurations_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_text(POD.replace("metadata", "metdata"))
    (tmp_path / "b.yaml").write_text(BAD)
    status, lines = checked(capsys, tmp_path)
    assert status == 1
    assert "did you mean 'metadata'?" in "".join(lines)
    assert len(lines) == 1 + int(lines[-1].split(": ")[1].split(" ")[0])


def test_what_the_programs_refuse_is_refused_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    walk_through = (EXAMPLES / "get-started" / "01-gpu-deployment.yaml").read_text()
    cases = {
        "arguments": (walk_through.replace('- "12"', '- "many"'), "--max-cpu-loras"),
        "adapters": (walk_through.replace("source:", "sauce:"), "vLLMLoRAConfig.ensureExist.models[0].source: missing"),
        "kind": (GOOD.replace("PickerConfig", "PickerConfg"), "did you mean 'EndpointPickerConfig'"),
        "address": (POD + "status: {podIP: not-an-ip}\n", "'not-an-ip' is not an IP address"),
        "nothing": ("", "nothing to check"),
    }
    for name, (text, said) in cases.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(text)
        status, lines = checked(capsys, path)
        assert status == 1, name
        assert said in "\n".join(lines), (name, lines)


def test_notes_are_printed_and_are_no_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "epp.yaml").write_text(GOOD)
    status, lines = checked(capsys, tmp_path)
    assert status == 0
    assert "document 1: note: plugins[1]: passthrough-parser" in lines[0]
    assert lines[-1] == "checked 0 resources and 1 endpoint picker configuration: no problems"


def test_a_path_that_is_not_there_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = checked(capsys, tmp_path / "nowhere")
    assert status == 1
    assert "does not exist" in lines[0]


class TestSets:
    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        """``prod`` and ``staging`` on a shelf, ``prod`` with a directory of its own, all with the same pod."""
        for place in ("prod/pods.yaml", "staging/zone-a/pods.yaml"):
            (tmp_path / place).parent.mkdir(parents=True)
            (tmp_path / place).write_text(SERVING)
        return tmp_path

    def test_directories_on_a_shelf_are_judged_each_by_itself_and_named(
        self, tree: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        status, lines = checked(capsys, tree)
        assert status == 0
        assert lines == [
            f"{tree}: note: holds 2 sets of manifests, each judged by itself: prod, staging/zone-a",
            "checked 2 resources and 0 endpoint picker configurations: no problems",
        ]

    def test_so_are_directories_that_are_named(self, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
        status, lines = checked(capsys, tree / "prod", tree / "staging", tree / "prod")
        assert status == 0
        assert lines == ["checked 2 resources and 0 endpoint picker configurations: no problems"]

    @pytest.mark.parametrize("spread", ["in a file beside it", "in a directory below"])
    def test_a_directory_with_manifests_is_one_set_with_all_below_it(
        self, tree: Path, capsys: pytest.CaptureFixture[str], spread: str
    ) -> None:
        other = tree / "prod" / ("more.yaml" if "beside" in spread else "base/pods.yaml")
        other.parent.mkdir(exist_ok=True)
        other.write_text(SERVING)
        status, lines = checked(capsys, tree)
        assert status == 1
        assert "Pod/a: is already defined at" in lines[0]
        assert lines[-1].endswith("1 problem")

    def test_files_that_are_named_are_one_set(self, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
        status, lines = checked(capsys, tree / "prod/pods.yaml", tree / "staging/zone-a/pods.yaml")
        assert status == 1
        assert "Pod/a: is already defined at" in lines[0]

    def test_a_problem_that_belongs_to_two_sets_is_told_once(
        self, tree: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tree / "prod/pods.yaml").write_text(SERVING.replace("metadata", "metdata"))
        _, lines = checked(capsys, tree / "prod", tree / "prod/pods.yaml")
        assert sum("did you mean 'metadata'?" in line for line in lines) == 1

    def test_a_directory_that_links_to_itself_is_entered_once(
        self, tree: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tree / "staging" / "again").symlink_to(tree)
        assert checked(capsys, tree)[0] == 0

    @pytest.mark.parametrize("name", ["empty", "hidden"])
    def test_where_there_is_nothing_that_is_said(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
    ) -> None:
        place = tmp_path / "sub" / (".git" if name == "hidden" else "a")
        place.mkdir(parents=True)
        if name == "hidden":
            (place / "pods.yaml").write_text(SERVING)
        status, lines = checked(capsys, tmp_path)
        assert status == 1
        assert "nothing to check" in lines[0]

    def test_the_examples_do_not_get_in_each_others_way(self, capsys: pytest.CaptureFixture[str]) -> None:
        sets = [EXAMPLES / name for name in ("get-started", "scheduling", "two-models")]
        assert checked(capsys, *sets)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ([], 2, "give at least one PATH, or --schema"),
        (["--schema"], 0, "EndpointPickerConfig"),
        (["--schema", "epp.yaml"], 2, "--schema checks nothing: leave out epp.yaml, or --schema"),
        ([str(EXAMPLES / "get-started")], 0, "no problems"),
        (["nowhere"], 1, "does not exist"),
    ],
)
def test_the_command(arguments: list[str], status: int, said: str) -> None:
    result = CliRunner().invoke(app, ["validate", *arguments])
    assert result.exit_code == status
    assert said in result.output


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([], schema=True) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "EndpointPickerConfig"
