"""``signalbox convert``: files in, files out, and what is said."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from signalbox.cli.convert import run
from signalbox.pool import Pool
from signalbox.sources import DirectorySource

EXAMPLES = Path(__file__).parents[2] / "examples" / "get-started"
POOL = """apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferencePool
metadata: {name: llama, labels: null}
spec: {targetPortNumber: 8000, selector: {app: llama}, extensionRef: {name: epp}}
"""
NEW_POOL = {
    "apiVersion": "inference.networking.k8s.io/v1",
    "kind": "InferencePool",
    "metadata": {"name": "llama"},
    "spec": {
        "selector": {"matchLabels": {"app": "llama"}},
        "targetPorts": [{"number": 8000}],
        "endpointPickerRef": {"name": "epp", "port": {"number": 9002}},
    },
}
MODEL = """apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModel
metadata: {name: NAME}
spec: {modelName: SERVED, criticality: Critical, poolRef: {name: llama}, targetModels: [{name: v1}]}
"""
SERVICE = """apiVersion: v1  # a comment
kind: Service
metadata: {name: epp}
spec: {ports: [{port: 9002}]}
"""


def model(name: str, served: str) -> str:
    return MODEL.replace("NAME", name).replace("SERVED", served)


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    """A directory with a pool, two models and a service, and what no manifest is."""
    directory = tmp_path / "manifests"
    (directory / "models").mkdir(parents=True)
    (directory / ".hidden").mkdir()
    (directory / "pool.yaml").write_text(POOL)
    (directory / "models" / "all.yml").write_text(f"{model('a', 'alpha')}---\n{model('bb', 'beta')}")
    (directory / "service.yaml").write_text(SERVICE)
    (directory / "README.md").write_text("no manifest: {")
    (directory / ".hidden" / "x.yaml").write_text("no: [manifest")
    return directory


def kinds(text: str) -> list[str]:
    return [document["kind"] for document in yaml.safe_load_all(text) if document]


def test_a_file_is_converted_to_standard_output(manifests: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([manifests / "pool.yaml"], output=None, only_converted=False) == 0
    assert yaml.safe_load(capsys.readouterr().out) == NEW_POOL


def test_a_directory_is_read_in_order_of_name(manifests: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([manifests], output=None, only_converted=False) == 0
    both = ["InferenceObjective", "InferenceModelRewrite"]
    assert kinds(capsys.readouterr().out) == [*both, *both, "InferencePool", "Service"]


def test_only_what_was_converted_is_printed_on_request(manifests: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([manifests], output=None, only_converted=True) == 0
    assert "Service" not in kinds(capsys.readouterr().out)


def test_standard_input_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(POOL.encode()))
    assert run([Path("-")], output=None, only_converted=False, stdin=stdin) == 0
    assert yaml.safe_load(capsys.readouterr().out) == NEW_POOL


def test_json_is_read_and_yaml_written(tmp_path: Path) -> None:
    (tmp_path / "pool.json").write_text(json.dumps(yaml.safe_load(POOL)))
    assert run([tmp_path / "pool.json"], output=tmp_path / "out", only_converted=False) == 0
    assert yaml.safe_load((tmp_path / "out" / "pool.yaml").read_text()) == NEW_POOL


def test_what_clients_have_to_do_is_said(manifests: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run([manifests], output=None, only_converted=False)
    assert capsys.readouterr().err.splitlines() == [
        "converted 1 InferencePool to v1, 2 InferenceModels into 2 InferenceObjectives, 2 InferenceModelRewrites;"
        " 0 objects refer to v1 pools now",
        "clients must now ask for a priority by a header:",
        "  model alpha  x-gateway-inference-objective: a  (priority 1)",
        "  model beta   x-gateway-inference-objective: bb  (priority 1)",
        "note: a pool without InferenceModels passes model names it does not know on to its servers",
    ]


def test_nothing_is_asked_of_clients_of_a_pool_alone(manifests: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run([manifests / "pool.yaml"], output=None, only_converted=False)
    assert capsys.readouterr().err.count("\n") == 1


def test_a_directory_is_written_file_by_file(manifests: Path, tmp_path: Path) -> None:
    assert run([manifests], output=tmp_path / "out", only_converted=False) == 0
    written = sorted(
        str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()
    )
    assert written == ["models/all.yml", "pool.yaml", "service.yaml"]
    assert (tmp_path / "out" / "service.yaml").read_text() == SERVICE


def test_a_file_with_nothing_converted_is_left_out_on_request(manifests: Path, tmp_path: Path) -> None:
    assert run([manifests], output=tmp_path / "out", only_converted=True) == 0
    assert not (tmp_path / "out" / "service.yaml").exists()


def test_one_file_takes_everything(manifests: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([manifests], output=tmp_path / "all.yaml", only_converted=False) == 0
    assert len(kinds((tmp_path / "all.yaml").read_text())) == 6
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("output", [".", "models/../pool.yaml", "models/all.yml"])
def test_what_was_read_is_never_replaced_unasked(
    manifests: Path, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_text() for path in manifests.rglob("*.*") if path.is_file()}
    assert run([manifests], output=manifests / output, only_converted=True) == 2
    assert "is one of the inputs; choose another --output, or add --force" in capsys.readouterr().err
    assert {path: path.read_text() for path in manifests.rglob("*.*") if path.is_file()} == before


def test_an_input_is_recognised_behind_a_link(manifests: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(manifests)
    assert run([manifests], output=tmp_path / "link", only_converted=False) == 2
    assert (manifests / "pool.yaml").read_text() == POOL


def test_manifests_can_be_converted_in_place_on_request(manifests: Path) -> None:
    assert run([manifests], output=manifests, only_converted=False, force=True) == 0
    assert yaml.safe_load((manifests / "pool.yaml").read_text()) == NEW_POOL
    before = {path: path.read_text() for path in manifests.rglob("*.y*ml")}
    again = [manifests / "pool.yaml", manifests / "service.yaml"]
    assert run(again, output=manifests, only_converted=False, force=True) == 0
    assert {path: path.read_text() for path in manifests.rglob("*.y*ml")} == before


BAD = [
    ("kind: [", ":2 document 1: is not valid YAML"),
    ("- a\n- b\n", ":1 document 1: is not a Kubernetes object; start it with 'apiVersion:' and 'kind:'"),
    (
        f"{POOL}---\n{POOL.replace('8000', '0')}",
        ":9 document 2 InferencePool/llama spec.targetPortNumber: must be from 1",
    ),
    (
        MODEL.replace("v1}", "v1}, {name: v2, weight: 1}"),
        ":4 document 1 InferenceModel/NAME spec.targetModels[0].weight",
    ),
    (
        POOL.replace("{app: llama}", "{}"),
        ":4 document 1 InferencePool/llama spec.selector: holds 0 labels; v1 takes 1 to",
    ),
    (
        f"apiVersion: v1\nkind: List\nitems:\n- {POOL.replace('{app: llama}', '{}').replace(chr(10), chr(10) + '  ')}",
        ":7 document 1 InferencePool/llama spec.selector: holds 0 labels",
    ),
    (POOL.replace("targetPortNumber", "targetPort"), "did you mean 'targetPortNumber'?"),
    ("", ": no YAML or JSON document is there; name other paths"),
]


@pytest.mark.parametrize(("text", "said"), BAD, ids=[said[:50] for _, said in BAD])
def test_bad_input_is_said_with_its_place_and_nothing_written(
    manifests: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    bad = manifests.parent / "bad.yaml"
    bad.write_text(text)
    inputs = [bad, manifests / "service.yaml"] if text else [bad]
    assert run(inputs, output=manifests.parent / "out", only_converted=False) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.startswith(str(bad))
    assert printed.out == ""
    assert not (manifests.parent / "out").exists()


def test_text_that_is_no_utf8_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_bytes(b"kind: x\nname: \xff\n")
    assert run([tmp_path / "a.yaml"], output=None, only_converted=False) == 2
    assert capsys.readouterr().err == f"{tmp_path}/a.yaml:2: is not UTF-8 text: byte 0xff; save it as UTF-8\n"


def test_a_path_that_does_not_exist_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([tmp_path / "gone"], output=None, only_converted=False) == 2
    assert capsys.readouterr().err == f"{tmp_path}/gone: does not exist; correct the path or create it\n"


def test_two_inputs_never_overwrite_each_other(manifests: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(manifests / "service.yaml", manifests.parent / "pool.yaml")
    inputs = [manifests, manifests.parent / "pool.yaml"]
    assert run(inputs, output=manifests.parent / "out", only_converted=False) == 2
    assert "would both become" in capsys.readouterr().err
    assert not (manifests.parent / "out").exists()


def test_output_that_is_no_yaml_file_is_refused(manifests: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([manifests], output=manifests / "README.md", only_converted=False) == 2
    assert "name a directory or a file that ends in .yaml" in capsys.readouterr().err
    assert (manifests / "README.md").read_text() == "no manifest: {"


def test_when_one_file_cannot_be_written_none_is(manifests: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = manifests.parent / "out"
    (out / "pool.yaml").mkdir(parents=True)
    assert run([manifests], output=out, only_converted=False) == 2
    assert f"{out}/pool.yaml: cannot be written: is a directory" in capsys.readouterr().err
    assert [path for path in out.rglob("*") if path.is_file()] == []


def test_the_walk_through_serves_the_same_after_conversion(tmp_path: Path) -> None:
    assert run([EXAMPLES], output=tmp_path, only_converted=True) == 0
    pools = [Pool("vllm-llama3-8b-instruct", "default") for _ in range(2)]
    for directory, pool in zip((EXAMPLES, tmp_path), pools, strict=True):
        DirectorySource(directory, pool).load()
    old, new = pools
    assert old.spec == new.spec
    assert old.catalogue.resolve("food-review") is not None
    for _ in range(5):
        before, after = old.catalogue.resolve("food-review"), new.catalogue.resolve("food-review")
        assert before is not None
        assert after is not None
        assert (before.target, before.priority) == (after.target, after.priority)


def test_the_command_takes_a_pipe() -> None:
    command = [sys.executable, "-c", "from signalbox.cli.main import main; main()", "convert", "-"]
    done = subprocess.run(command, input=POOL, capture_output=True, text=True, check=True, timeout=60)
    assert yaml.safe_load(done.stdout) == NEW_POOL
    assert done.stderr.startswith("converted 1 InferencePool to v1")
