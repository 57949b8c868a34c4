"""Manifests of the experimental API converted to the stable one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from signalbox.resources import Origin, Resource, parse_resource
from signalbox.resources.migration import Header, Manifest, Migration, migrate

Document = dict[str, Any]
Texts = Callable[..., Document]

ROUTE_RULES = [{"backendRefs": [{"group": "inference.networking.x-k8s.io", "kind": "InferencePool", "name": "llama"}]}]


def convert(*documents: Document) -> Migration:
    return migrate(Manifest(Origin("a.yaml", number), one) for number, one in enumerate(documents, 1))


def results(*documents: Document) -> list[Document]:
    return [output.content for group in convert(*documents).outputs for output in group]


@pytest.fixture
def text(documents: Any) -> Texts:
    """A document of a kind, with changes given as ``spec__replicas=3``."""
    written: Texts = documents.text
    return written


def test_an_old_pool_becomes_v1(text: Texts) -> None:
    reference = {"group": "", "kind": "Service", "name": "epp", "portNumber": 9100, "failureMode": "FailOpen"}
    (pool,) = results(text("old pool", spec__extensionRef=reference))
    assert pool == {
        "apiVersion": "inference.networking.k8s.io/v1",
        "kind": "InferencePool",
        "metadata": {"name": "llama"},
        "spec": {
            "selector": {"matchLabels": {"app": "llama"}},
            "targetPorts": [{"number": 8000}],
            "endpointPickerRef": {
                "group": "",
                "kind": "Service",
                "name": "epp",
                "port": {"number": 9100},
                "failureMode": "FailOpen",
            },
        },
    }


def test_the_port_that_was_inferred_is_written(text: Texts) -> None:
    (pool,) = results(text("old pool"))
    assert pool["spec"]["endpointPickerRef"] == {"name": "epp", "port": {"number": 9002}}
    (other,) = results(text("old pool", spec__extensionRef={"kind": "Picker", "name": "epp"}))
    assert other["spec"]["endpointPickerRef"] == {"kind": "Picker", "name": "epp"}


def test_a_pool_means_the_same_in_both_versions(text: Texts) -> None:
    old = text("old pool", metadata__labels={"a": "b"})
    (new,) = results(old)
    assert parse_resource(new, Origin("b.yaml")) == parse_resource(old, Origin("a.yaml"))


def test_metadata_is_kept_but_for_what_belongs_to_the_old_object(text: Texts) -> None:
    metadata = {
        "name": "llama",
        "namespace": "models",
        "labels": {"team": "a"},
        "annotations": {"note": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
        "uid": "1",
        "resourceVersion": "2",
        "generation": 3,
        "creationTimestamp": "2025-03-13T09:30:00Z",
        "managedFields": [],
        "finalizers": ["example.com/x"],
    }
    (pool,) = results(text("old pool", metadata=metadata, status={"parent": []}))
    assert pool["metadata"] == {
        "name": "llama",
        "namespace": "models",
        "labels": {"team": "a"},
        "annotations": {"note": "x"},
    }
    assert "status" not in pool


def test_a_critical_model_becomes_an_objective_that_clients_ask_for(text: Texts) -> None:
    migration = convert(text("model", spec__criticality="Critical", metadata__labels={"a": "b"}))
    ((output,),) = migration.outputs
    assert output.content == {
        "apiVersion": "inference.networking.x-k8s.io/v1alpha2",
        "kind": "InferenceObjective",
        "metadata": {"name": "review", "labels": {"a": "b"}},
        "spec": {"poolRef": {"name": "llama"}, "priority": 1},
    }
    assert migration.headers == (Header("food-review", "review", 1),)
    assert (migration.models, migration.count("InferenceObjective"), migration.count("InferenceModelRewrite")) == (
        1,
        1,
        0,
    )


@pytest.mark.parametrize(("criticality", "priority"), [("Critical", 1), ("Sheddable", -1)])
def test_priorities_by_criticality(text: Texts, criticality: str, priority: int) -> None:
    (objective,) = results(text("model", spec__criticality=criticality))
    assert objective["spec"]["priority"] == priority


@pytest.mark.parametrize("criticality", ["Standard", None])
def test_a_standard_model_needs_no_objective(text: Texts, criticality: str | None) -> None:
    migration = convert(text("model", spec__criticality=criticality))
    assert migration.outputs == ((),)
    assert migration.headers == ()


def test_targets_become_a_rewrite(text: Texts) -> None:
    targets = [{"name": "v1", "weight": 90}, {"name": "v2", "weight": 10}]
    (rewrite,) = results(text("model", spec__targetModels=targets))
    assert (rewrite["kind"], rewrite["metadata"]) == ("InferenceModelRewrite", {"name": "review"})
    assert rewrite["spec"] == {
        "poolRef": {"name": "llama"},
        "rules": [
            {
                "matches": [{"model": {"type": "Exact", "value": "food-review"}}],
                "targets": [{"modelRewrite": "v1", "weight": 90}, {"modelRewrite": "v2", "weight": 10}],
            }
        ],
    }


def test_a_reference_to_something_else_is_kept(text: Texts) -> None:
    (objective,) = results(
        text("model", spec__criticality="Critical", spec__poolRef={"group": "a.b", "kind": "Pool", "name": "llama"})
    )
    assert objective["spec"]["poolRef"] == {"group": "a.b", "kind": "Pool", "name": "llama"}


def test_routes_name_the_new_group_of_converted_pools(text: Texts) -> None:
    backend = ROUTE_RULES[0]["backendRefs"][0]
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": backend}}
    migration = convert(
        text("old pool"), text("route", spec__rules=[{"backendRefs": [backend | {"weight": 3}], "filters": [mirror]}])
    )
    (rule,) = migration.outputs[1][0].content["spec"]["rules"]
    assert rule["backendRefs"] == [backend | {"weight": 3, "group": "inference.networking.k8s.io"}]
    assert rule["filters"][0]["requestMirror"]["backendRef"]["group"] == "inference.networking.k8s.io"
    assert (migration.repointed, migration.notes) == (1, ())


def test_a_route_to_a_pool_that_was_not_given_is_left_alone_and_said(text: Texts) -> None:
    migration = convert(text("old pool", metadata__namespace="other"), text("route", spec__rules=ROUTE_RULES))
    assert migration.outputs[1][0].content["spec"]["rules"] == ROUTE_RULES
    assert not migration.outputs[1][0].converted
    assert migration.notes == (
        "HTTPRoute default/llm still names the v1alpha2 InferencePool default/llama, not among the inputs",
    )


def test_a_route_reaches_into_another_namespace(text: Texts) -> None:
    rules = [{"backendRefs": [ROUTE_RULES[0]["backendRefs"][0] | {"namespace": "other"}]}]
    migration = convert(text("old pool", metadata__namespace="other"), text("route", spec__rules=rules))
    assert migration.repointed == 1


@pytest.mark.parametrize("which", ["objective", "rewrite"])
def test_objectives_and_rewrites_name_the_new_group_of_converted_pools(text: Texts, which: str) -> None:
    reference = {"group": "inference.networking.x-k8s.io", "name": "llama"}
    _, changed = results(text("old pool"), text(which, spec__poolRef=reference))
    assert changed["spec"]["poolRef"] == {"group": "inference.networking.k8s.io", "name": "llama"}


def test_other_documents_come_back_as_they_were(text: Texts) -> None:
    others = [
        text("deployment"),
        text("config map"),
        text("pool"),
        text("gateway"),
        text("route"),
        {"kind": "X"} | ROLE,
    ]
    migration = convert(*others)
    assert [group[0].content for group in migration.outputs] == others
    assert not any(output.converted for group in migration.outputs for output in group)


ROLE = {"apiVersion": "rbac.authorization.k8s.io/v1", "rules": [{"apiGroups": ["inference.networking.x-k8s.io"]}]}


def test_converting_again_changes_nothing(text: Texts) -> None:
    first = results(text("old pool"), text("model", spec__criticality="Critical", spec__targetModels=[{"name": "a"}]))
    assert results(*first) == first


@pytest.mark.parametrize("kind", ["List", "InferenceModelList"])
def test_a_list_comes_as_its_items(text: Texts, kind: str) -> None:
    models = [text("model", spec__criticality="Critical", metadata__name=name, spec__modelName=name) for name in "ab"]
    version = "v1" if kind == "List" else "inference.networking.x-k8s.io/v1alpha2"
    found = results({"apiVersion": version, "kind": kind, "items": models})
    assert [(one["kind"], one["metadata"]["name"]) for one in found] == [
        ("InferenceObjective", "a"),
        ("InferenceObjective", "b"),
    ]


@pytest.mark.parametrize("kind", ["GRPCRoute", "InferencePool", "Deployment"])
def test_a_list_without_anything_to_convert_stays_a_list(text: Texts, kind: str) -> None:
    version = {"GRPCRoute": "gateway.networking.k8s.io/v1", "InferencePool": "inference.networking.k8s.io/v1"}
    items = [text("pool")] if kind == "InferencePool" else []
    listed = {"apiVersion": version.get(kind, "apps/v1"), "kind": f"{kind}List", "items": items}
    assert results(listed) == [listed]


def test_of_two_models_with_one_name_the_older_is_converted(text: Texts) -> None:
    later = text("model", metadata__name="late", spec__targetModels=[{"name": "a"}])
    older = text("model", metadata__name="old", metadata__creationTimestamp="2025-03-13T09:30:00Z")
    migration = convert(later, older | {"spec": older["spec"] | {"criticality": "Critical"}})
    assert [[out.content["kind"] for out in group] for group in migration.outputs] == [[], ["InferenceObjective"]]
    assert migration.notes[0] == (
        "InferenceModel default/late becomes nothing: modelName 'food-review' belongs to the older old"
    )


def test_models_of_different_pools_or_namespaces_do_not_compete(text: Texts) -> None:
    targets = [{"name": "a"}]
    found = results(
        text("model", spec__targetModels=targets),
        text("model", metadata__name="b", spec__poolRef={"name": "other"}, spec__targetModels=targets),
        text("model", metadata__namespace="elsewhere", spec__targetModels=targets),
    )
    assert [one["kind"] for one in found] == ["InferenceModelRewrite"] * 3


@pytest.mark.parametrize("matches", [[], [{"model": {"value": "food-review"}}]])
def test_targets_that_a_rewrite_overrode_are_left_out(text: Texts, matches: list[Document]) -> None:
    rules = [{"matches": matches, "targets": [{"modelRewrite": "v2"}]}]
    migration = convert(text("model", spec__targetModels=[{"name": "v1"}]), text("rewrite", spec__rules=rules))
    assert [len(group) for group in migration.outputs] == [0, 1]
    assert migration.notes[0] == (
        "targetModels of InferenceModel default/review are left out: InferenceModelRewrite canary overrode them"
    )


@pytest.mark.parametrize(
    "changes",
    [{"spec__poolRef": {"name": "other"}}, {"metadata__namespace": "other"}, {}],
    ids=["pool", "namespace", "name"],
)
def test_a_rewrite_of_something_else_overrides_nothing(text: Texts, changes: Document) -> None:
    rules = [{"matches": [{"model": {"value": "x"}}] if not changes else [], "targets": [{"modelRewrite": "v2"}]}]
    found = results(text("model", spec__targetModels=[{"name": "v1"}]), text("rewrite", spec__rules=rules, **changes))
    assert [one["metadata"]["name"] for one in found] == ["review", "canary"]


def test_what_happens_to_unknown_names_is_said(text: Texts) -> None:
    assert convert(text("model")).notes == (
        "a pool without InferenceModels passes model names it does not know on to its servers",
    )
    assert convert(text("old pool")).notes == ()


def test_results_are_valid(text: Texts) -> None:
    converted = results(
        text("old pool"), text("model", spec__criticality="Sheddable", spec__targetModels=[{"name": "a"}])
    )
    assert all(isinstance(parse_resource(one, Origin("b.yaml")), Resource) for one in converted)
