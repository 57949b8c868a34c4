"""Reading manifests: which files, in which order, and what stays in force when something is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from signalbox.resources import InferenceModel
from signalbox.sources import ManifestReader, Manifests
from signalbox.sources import manifests as manifests_module

EXAMPLES = Path(__file__).parents[2] / "examples" / "get-started"


def model(name: str, target: str = "m", created: str = "") -> str:
    stamp = f", creationTimestamp: {created}" if created else ""
    return f"""\
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModel
metadata: {{name: {name}{stamp}}}
spec:
  modelName: {target}
  poolRef: {{name: pool}}
"""


BROKEN = model("broken").replace("modelName", "modelNam")


def names(manifests: Manifests) -> list[str]:
    return [resource.metadata.name for resource in manifests.resources]


def targets(manifests: Manifests) -> dict[str, str]:
    return {one.metadata.name: one.spec.model_name for one in manifests.resources if isinstance(one, InferenceModel)}


def problems(manifests: Manifests, root: Path) -> list[str]:
    return [str(problem).replace(f"{root}{os.sep}", "") for problem in manifests.problems]


def test_the_published_guide_is_read_unmodified() -> None:
    manifests = ManifestReader([EXAMPLES]).read()
    assert manifests.problems == ()
    assert [str(resource.key) for resource in manifests.resources] == [
        "Deployment default/vllm-llama3-8b-instruct",
        "ConfigMap default/vllm-llama3-8b-instruct-adapters",
        "InferenceModel default/food-review",
        "InferencePool default/vllm-llama3-8b-instruct",
        "Service default/vllm-llama3-8b-instruct-epp",
        "Deployment default/vllm-llama3-8b-instruct-epp",
        "Gateway default/inference-gateway",
        "HTTPRoute default/llm-route",
    ]
    assert [(one.kind, one.name, one.reason, one.origin.document) for one in manifests.skipped] == [
        ("ClusterRole", "pod-read", "not needed here", 4),
        ("ClusterRoleBinding", "pod-read-binding", "not needed here", 5),
    ]


def test_files_are_read_in_order_of_name_and_hidden_ones_are_not(tmp_path: Path) -> None:
    for name in ("b.yaml", "a/z.yml", "c.JSON", ".hidden.yaml", ".git/x.yaml", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        text = model(path.stem.strip("."))
        path.write_text(json.dumps(json_of(text)) if name == "c.JSON" else text)
    assert names(ManifestReader([tmp_path]).read()) == ["z", "b", "c"]


def json_of(text: str) -> dict[str, Any]:
    name = text.partition("name: ")[2].partition("}")[0]
    return {
        "apiVersion": "inference.networking.x-k8s.io/v1alpha2",
        "kind": "InferenceModel",
        "metadata": {"name": name},
        "spec": {"modelName": "m", "poolRef": {"name": "pool"}},
    }


def test_paths_are_read_in_the_order_given_and_each_file_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(model("a"))
    (tmp_path / "b.conf").write_text(model("b"))
    reader = ManifestReader([tmp_path / "b.conf", tmp_path, tmp_path / "a.yaml", tmp_path])
    manifests = reader.read()
    assert names(manifests) == ["b", "a"]
    assert manifests.problems == ()


def test_a_mounted_config_map_is_read_once_and_follows_its_swap(tmp_path: Path) -> None:
    for version in ("..1", "..2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "m.yaml").write_text(model("a", f"version-{version[-1]}"))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "m.yaml").symlink_to("..data/m.yaml")
    reader = ManifestReader([tmp_path])
    first = reader.read()
    assert (targets(first), first.problems) == ({"a": "version-1"}, ())
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert targets(reader.read()) == {"a": "version-2"}


def test_a_directory_that_links_to_itself_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(model("a"))
    (tmp_path / "loop").symlink_to(tmp_path)
    manifests = ManifestReader([tmp_path]).read()
    assert (names(manifests), manifests.problems) == (["a"], ())


def test_a_file_that_breaks_keeps_its_last_good_objects_in_force(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(model("a", "one"))
    reader = ManifestReader([tmp_path])
    reader.read()
    file.write_text(model("a", "two") + "---\n" + BROKEN)
    for _ in range(2):
        manifests = reader.read()
        assert targets(manifests) == {"a": "one"}
        assert problems(manifests, tmp_path) == [
            "a.yaml:11 document 2 InferenceModel/broken spec.modelName: is required; add modelName",
            "a.yaml:12 document 2 InferenceModel/broken spec.modelNam: is not a known field; did you mean 'modelName'?",
        ]
    file.write_text(model("a", "three"))
    manifests = reader.read()
    assert (targets(manifests), manifests.problems) == ({"a": "three"}, ())


def test_a_file_that_never_was_valid_contributes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(model("good") + "---\n" + BROKEN)
    (tmp_path / "b.yaml").write_text(model("b"))
    assert names(ManifestReader([tmp_path]).read()) == ["b"]


def test_a_file_that_goes_takes_its_objects_with_it(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(model("a"))
    (tmp_path / "b.yaml").write_text(model("b"))
    reader = ManifestReader([tmp_path])
    reader.read()
    (tmp_path / "a.yaml").unlink()
    manifests = reader.read()
    assert (names(manifests), manifests.problems) == (["b"], ())


def test_a_given_path_that_goes_missing_is_a_problem_and_keeps_what_it_held(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    reader = ManifestReader([file])
    assert [str(problem) for problem in reader.read().problems] == [
        f"{file}: does not exist; correct the path or create it"
    ]
    file.write_text(model("a"))
    assert names(reader.read()) == ["a"]
    file.unlink()
    manifests = reader.read()
    assert names(manifests) == ["a"]
    assert len(manifests.problems) == 1


def test_an_unchanged_file_gives_the_very_same_objects(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(model("a"))
    reader = ManifestReader([tmp_path])
    assert reader.read().resources[0] is reader.read().resources[0]


def test_resources_come_in_order_of_age(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(model("b"))
    reader = ManifestReader([tmp_path])
    reader.read()
    (tmp_path / "a.yaml").write_text(
        "---\n".join(
            [
                model("a"),
                model("young", created="2025-06-01T00:00:00Z"),
                model("old", created="2025-03-13T09:30:00+01:00"),
                model("middle", created='"2025-03-13T09:00:00Z"'),
            ]
        )
    )
    assert names(reader.read()) == ["old", "middle", "young", "b", "a"]


def test_an_object_that_left_and_came_back_is_young_again(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.yaml").write_text(model(name))
    reader = ManifestReader([tmp_path])
    assert names(reader.read()) == ["a", "b"]
    (tmp_path / "a.yaml").unlink()
    reader.read()
    (tmp_path / "a.yaml").write_text(model("a"))
    assert names(reader.read()) == ["b", "a"]


def test_of_two_documents_for_one_object_the_first_counts_and_both_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(model("same", "first"))
    (tmp_path / "b.yaml").write_text(model("other") + "---\n" + model("same", "second"))
    manifests = ManifestReader([tmp_path]).read()
    assert targets(manifests) == {"same": "first", "other": "m"}
    assert [str(problem) for problem in manifests.problems] == [
        f"{tmp_path}/b.yaml:8 document 2 InferenceModel/same: is already defined at {tmp_path}/a.yaml:1 document 1; "
        "remove or rename one of the two"
    ]


def test_objects_of_the_same_name_in_two_namespaces_are_two(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(model("x") + "---\n" + model("x, namespace: other"))
    manifests = ManifestReader([tmp_path]).read()
    assert [resource.metadata.namespace for resource in manifests.resources] == ["default", "other"]
    assert manifests.problems == ()


def test_items_of_a_list_know_their_lines(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text(
        """\
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: a}
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: b}
  spec:
    replica: 3
    selector: {matchLabels: {a: b}}
    template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c}]}}
"""
    )
    assert problems(ManifestReader([tmp_path]).read(), tmp_path) == [
        "list.yaml:11 document 1 Deployment/b spec.replica: is not a known field; did you mean 'replicas'?"
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: 1\nb: \xff\n", "a.yaml:2: is not UTF-8 text: byte 0xff at offset 8; save it as UTF-8"),
        (b"- 1\n", "a.yaml:1 document 1: is not a Kubernetes object; start it with 'apiVersion:' and 'kind:'"),
        (b"--- \nhello\n", "a.yaml:2 document 1: is not a Kubernetes object; start it with 'apiVersion:' and 'kind:'"),
        (
            b"kind: Pod\nkind: Pod\n",
            "a.yaml:2 document 1: the key 'kind' is given twice, first in line 1; remove one of the two",
        ),
        (
            b"apiVersion: v1\nmetadata: {name: a}\n",
            "a.yaml:1 document 1 kind: is required; write it like 'kind: InferenceModel'",
        ),
        (
            b"kind: Pod\nmetadata: {name: a}\n",
            "a.yaml:1 document 1 Pod/a apiVersion: is required; write it like 'apiVersion: v1'",
        ),
    ],
)
def test_a_file_that_holds_no_objects_is_a_problem(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    manifests = ManifestReader([tmp_path]).read()
    assert problems(manifests, tmp_path) == [said]
    assert manifests.resources == ()


@pytest.mark.parametrize("content", ["", "# nothing\n", "---\n---\n", "null\n", "--- \n# x\n---\n"])
def test_empty_documents_are_no_problem(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.yaml").write_text(content)
    assert ManifestReader([tmp_path]).read() == Manifests((), (), ())


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(model("a"), encoding="utf-8-sig")
    assert names(ManifestReader([tmp_path]).read()) == ["a"]


def test_a_file_that_cannot_be_read_keeps_its_objects_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.yaml").write_text(model("a"))
    reader = ManifestReader([tmp_path])
    reader.read()
    with monkeypatch.context() as patch:
        # Permissions do not stop a superuser, who may run this test.
        patch.setattr(Path, "read_bytes", lambda self: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
        manifests = reader.read()
    assert names(manifests) == ["a"]
    assert problems(manifests, tmp_path) == ["a.yaml: cannot be read: Permission denied; check its permissions"]
    assert reader.read().problems == ()


def test_a_large_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("---\n".join(model(f"m-{number}") for number in range(500)))
    manifests = ManifestReader([tmp_path]).read()
    assert (len(manifests.resources), manifests.problems) == (500, ())
    assert manifests.resources[499].origin is not None
    assert manifests.resources[499].origin[1:] == (500, 499 * 7 + 1)


def test_a_file_whose_check_fails_by_itself_keeps_what_it_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.yaml").write_text(model("a"))
    (tmp_path / "b.yaml").write_text(model("b"))
    reader = ManifestReader([tmp_path])
    reader.read()

    def broken(*_: Any) -> None:
        raise KeyError("surprise")

    with monkeypatch.context() as patched:
        patched.setattr(manifests_module, "parse_document", broken)
        (tmp_path / "a.yaml").write_text(model("a", "other"))
        read = reader.read()
    assert targets(read) == {"a": "m", "b": "m"}
    (problem,) = problems(read, tmp_path)
    assert problem.startswith("a.yaml: could not be checked (KeyError: 'surprise'); the text may be right: report this")
    (told,) = caplog.records
    assert vars(told)["file"] == str(tmp_path / "a.yaml")
    assert told.exc_info is not None
    (tmp_path / "a.yaml").write_text(model("a", "third"))
    assert targets(reader.read()) == {"a": "third", "b": "m"}
