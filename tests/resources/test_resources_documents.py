"""What holds for every document: kinds and versions, metadata, places, equality."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from signalbox.resources import (
    Gateway,
    InvalidResource,
    Key,
    Origin,
    Problem,
    Resource,
    Skipped,
    parse_document,
    parse_resource,
)

Complain = Callable[[str, Mapping[str, Any]], list[str]]
HERE = Origin("models.yaml", 2, 10)
EXPERIMENTAL = "inference.networking.x-k8s.io/v1alpha2"


def model(name: str, target: str = "m") -> dict[str, Any]:
    spec = {"modelName": target, "poolRef": {"name": "p"}}
    return {"apiVersion": EXPERIMENTAL, "kind": "InferenceModel", "metadata": {"name": name}, "spec": spec}


@pytest.mark.parametrize(
    ("kind", "version", "reason"),
    [
        ("Secret", "v1", "not needed here"),
        ("ClusterRole", "rbac.authorization.k8s.io/v1", "not needed here"),
        ("CustomResourceDefinition", "apiextensions.k8s.io/v1", "not needed here"),
        ("GatewayClass", "gateway.networking.k8s.io/v1", "not needed here"),
        ("StatefulSet", "apps/v1", "ignored"),
        ("TCPRoute", "gateway.networking.k8s.io/v1alpha2", "ignored"),
        ("Widget", "example.com/v1", "ignored"),
        ("Gateway", "networking.istio.io/v1", "ignored"),
        ("Service", "serving.knative.dev/v1", "ignored"),
        ("InferenceModle", "example.com/v1", "ignored"),
    ],
)
def test_kinds_that_play_no_part_are_skipped(kind: str, version: str, reason: str) -> None:
    document = {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, "anything": [1]}
    assert parse_resource(document, HERE) == Skipped(HERE, kind, "x", reason)


@pytest.mark.parametrize(
    ("which", "path", "value", "said"),
    [
        ("model", "kind", "InferenceModle", "'InferenceModle' is not a known kind; did you mean 'InferenceModel'?"),
        ("model", "kind", "inferencemodel", "'inferencemodel' is not a known kind; did you mean 'InferenceModel'?"),
        ("deployment", "kind", "Deploymnt", "'Deploymnt' is not a known kind; did you mean 'Deployment'?"),
        ("pool", "kind", "InferencePol", "'InferencePol' is not a known kind; did you mean 'InferencePool'?"),
        (
            "model",
            "apiVersion",
            "inference.networking.x-k8s.io/v1alpha3",
            "'inference.networking.x-k8s.io/v1alpha3' is not a known version of InferenceModel; "
            "write inference.networking.x-k8s.io/v1alpha2",
        ),
        (
            "pool",
            "apiVersion",
            "example.com/v1",
            "'example.com/v1' is not a known version of InferencePool; "
            "write inference.networking.k8s.io/v1 or inference.networking.x-k8s.io/v1alpha2",
        ),
        ("deployment", "apiVersion", "v1", "'v1' is not a known version of Deployment; write apps/v1"),
        (
            "gateway",
            "apiVersion",
            "gateway.networkin.k8s.io/v1",
            "'gateway.networkin.k8s.io/v1' is not a known version of Gateway; "
            "write gateway.networking.k8s.io/v1 or gateway.networking.k8s.io/v1beta1",
        ),
        ("model", "kind", None, "is required; write it like 'kind: InferenceModel'"),
        ("model", "kind", 5, "expected a string, got the integer 5; write it like 'kind: InferenceModel'"),
        ("model", "apiVersion", "", "is required; write it like 'apiVersion: v1'"),
        ("model", "apiVersion", 1, "expected a string, got the integer 1; write it like 'apiVersion: v1'"),
        ("pod", "kind", "List", "is a List where one object was expected; move its items up into documents"),
    ],
)
def test_a_misspelt_kind_or_version_is_an_error(
    complaints: Complain, which: str, path: str, value: object, said: str
) -> None:
    assert complaints(which, {path: value}) == [f"{path}: {said}"]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("metadata", None, "metadata: is required; add metadata"),
        ("metadata.name", None, "metadata.name: is required; add name"),
        ("metadata.name", 5, 'metadata.name: expected a string, got the integer 5; put it in quotes: "5"'),
        (
            "metadata.name",
            "Llama",
            "metadata.name: 'Llama' is not allowed here; write lower-case letters, digits, '-' and '.'",
        ),
        (
            "metadata.namespace",
            "a.b",
            "metadata.namespace: 'a.b' is not allowed here; write lower-case letters, digits and '-'",
        ),
        (
            "metadata.annotations",
            {"a": 1},
            'metadata.annotations.a: expected a string, got the integer 1; put it in quotes: "1"',
        ),
        ("metadata.label", {}, "metadata.label: is not a known field; did you mean 'labels'?"),
        (
            "metadata.creationTimestamp",
            "yesterday",
            "metadata.creationTimestamp: yesterday is not a time with a time zone; "
            "write it like '2025-03-13T09:30:00Z'",
        ),
        ("metadata.pod_ip", "", "metadata.pod_ip: is not a known field; remove it; the fields here are"),
        ("origin", {}, "origin: is not a known field; remove it; the fields here are"),
        ("api_version", "v1", "api_version: is not a known field; did you mean 'apiVersion'?"),
        ("spec", [], "spec: expected a mapping, got a list; write 'name: value' lines, indented under it"),
    ],
)
def test_metadata_is_checked_in_every_kind(complaints: Complain, path: str, value: object, said: str) -> None:
    for which in ("model", "gateway", "deployment"):
        (complaint,) = complaints(which, {path: value})
        assert complaint.startswith(said)


def test_null_means_absent(documents: Any) -> None:
    changes = {"metadata.labels": None, "metadata.namespace": None, "status": None, "spec.criticality": None}
    assert documents.read("model", changes) == documents.read("model")


def test_an_empty_namespace_is_the_default_one(documents: Any) -> None:
    read = documents.read("model", {"metadata.namespace": ""})
    assert read.key == Key("InferenceModel", "default", "review")
    assert str(read.key) == "InferenceModel default/review"


def test_what_an_api_server_adds_is_accepted(documents: Any) -> None:
    metadata = {
        "name": "review",
        "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "resourceVersion": "42",
        "generation": 3,
        "creationTimestamp": "2025-03-13T09:30:00Z",
        "managedFields": [{"manager": "kubectl"}],
        "ownerReferences": [],
        "finalizers": [],
    }
    read = documents.read("model", {"metadata": metadata, "status": {"conditions": []}})
    assert read.metadata.creation_timestamp == datetime(2025, 3, 13, 9, 30, tzinfo=UTC)
    assert read.metadata.uid.startswith("6ba7")


def test_every_problem_of_a_document_is_reported_in_order_of_lines() -> None:
    document = model("a") | {"spec": {"modelNam": "m", "criticality": "High", "poolRef": {"name": 1}}}
    lines: dict[tuple[str | int, ...], int] = {
        ("spec",): 4,
        ("spec", "modelNam"): 5,
        ("spec", "criticality"): 6,
        ("spec", "poolRef", "name"): 8,
    }
    with pytest.raises(InvalidResource) as raised:
        parse_resource(document, HERE, lambda path: lines.get(path, 4))
    assert [str(problem) for problem in raised.value.problems] == [
        "models.yaml:4 document 2 InferenceModel/a spec.modelName: is required; add modelName",
        "models.yaml:5 document 2 InferenceModel/a spec.modelNam: is not a known field; did you mean 'modelName'?",
        "models.yaml:6 document 2 InferenceModel/a spec.criticality: "
        "must be one of Critical, Standard, Sheddable, got the string 'High'; use one of them",
        "models.yaml:8 document 2 InferenceModel/a spec.poolRef.name: "
        'expected a string, got the integer 1; put it in quotes: "1"',
    ]
    assert str(raised.value).count("\n") == 3


def test_a_problem_is_one_line_also_where_little_is_known() -> None:
    assert str(Problem(Origin("a.yaml", 3, 7), "Pod", "", "spec", "is odd", "mend it")) == (
        "a.yaml:7 document 3 Pod/? spec: is odd; mend it"
    )
    assert str(Problem(Origin("a.yaml"), "", "", "", "is odd", "mend it")) == "a.yaml: is odd; mend it"


def test_equality_asks_what_documents_say_and_not_where_they_stand() -> None:
    first, second = (parse_resource(model("a"), Origin("x.yaml", 1, line)) for line in (1, 9))
    other = parse_resource(model("a", "another"), Origin("x.yaml", 1, 1))
    assert isinstance(first, Resource)
    assert first == second
    assert hash(first) == hash(second)
    assert first != other
    assert first != "a"
    assert first.origin == Origin("x.yaml", 1, 1)


def test_an_object_cannot_be_changed(documents: Any) -> None:
    with pytest.raises(ValueError, match="frozen"):
        documents.read("model").spec.model_name = "other"


def test_a_list_is_read_item_by_item() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    document = {"apiVersion": "v1", "kind": "List", "items": [model("a"), secret, model("b")]}
    parsed = parse_document(document, HERE, len)
    assert [getattr(one, "kind", None) for one in parsed] == ["InferenceModel", "Secret", "InferenceModel"]
    assert parsed[0].origin == Origin("models.yaml", 2, 2)


def test_items_of_a_typed_list_may_leave_out_their_kind() -> None:
    item = {key: value for key, value in model("a").items() if key in ("metadata", "spec")}
    document = {"apiVersion": EXPERIMENTAL, "kind": "InferenceModelList", "metadata": {}, "items": [item]}
    assert parse_document(document, HERE) == (parse_resource(model("a"), HERE),)


def test_a_list_reports_the_problems_of_all_its_items() -> None:
    broken = model("a") | {"spec": {}}
    document = {"apiVersion": "v1", "kind": "List", "items": [broken, 5, broken]}
    with pytest.raises(InvalidResource) as raised:
        parse_document(document, HERE)
    assert [problem.field for problem in raised.value.problems] == [
        "spec.modelName",
        "spec.poolRef",
        "items[1]",
        "spec.modelName",
        "spec.poolRef",
    ]


@pytest.mark.parametrize(
    ("items", "said"),
    [
        (None, "is required; add items, or [] for none"),
        ({}, "expected a list, got a mapping; start each entry with '- '"),
    ],
)
def test_a_list_has_items(items: object, said: str) -> None:
    with pytest.raises(InvalidResource) as raised:
        parse_document({"apiVersion": "v1", "kind": "List", "items": items}, HERE)
    assert str(raised.value) == f"models.yaml:10 document 2 List/? items: {said}"


def test_objects_can_be_made_by_programs_under_their_python_names(documents: Any) -> None:
    read = documents.read("gateway")
    assert Gateway(metadata=read.metadata, spec=read.spec) == read
