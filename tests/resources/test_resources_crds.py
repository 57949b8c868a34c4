"""The printed CustomResourceDefinitions: the reference's facts, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from signalbox.resources import KINDS
from signalbox.resources.crds import DEFINITIONS, custom_resource_definition
from signalbox.resources.limits import Text
from signalbox.resources.scalars import Group, Kind

Schema = dict[str, Any]
STABLE, EXPERIMENTAL = "inference.networking.k8s.io", "inference.networking.x-k8s.io"
PRINTED = {one.name: custom_resource_definition(one) for one in DEFINITIONS}
V1, V1ALPHA2 = f"inferencepools.{STABLE}", f"inferencepools.{EXPERIMENTAL}"
MODEL, OBJECTIVE, REWRITE, IMPORT = (
    f"{kind}.{EXPERIMENTAL}"
    for kind in ("inferencemodels", "inferenceobjectives", "inferencemodelrewrites", "inferencepoolimports")
)


def root(printed: Schema) -> Schema:
    schema: Schema = printed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def at(printed: Schema, path: str) -> tuple[Schema, bool]:
    """The schema at a dotted path, where ``[]`` stands for items, and whether the field is required."""
    schema, required = root(printed), True
    for part in path.split("."):
        name, _, items = part.partition("[")
        required = name in schema.get("required", ())
        schema = schema["properties"][name]
        if items:
            schema = schema["items"]
    return schema, required


LABEL = {"maxLength": 63, "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"}
KIND = {"minLength": 1, "maxLength": 63, "pattern": "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"}
NAME = {"minLength": 1, "maxLength": 253}
GROUP = {
    "maxLength": 253,
    "pattern": r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
}
PORT = {"minimum": 1, "maximum": 65535, "format": "int32"}
WEIGHT = {"minimum": 1, "maximum": 1_000_000, "format": "int32"}
MODES = {"enum": ["FailOpen", "FailClose"], "default": "FailClose"}
CONDITIONS = {"maxItems": 8, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}


def rule(expression: str, message: str) -> Schema:
    return {"x-kubernetes-validations": [{"rule": expression, "message": message}]}


FACTS: list[tuple[str, str, bool, str, Schema]] = [
    (V1, "spec", True, "object", {}),
    (V1, "spec.selector", True, "object", {}),
    (V1, "spec.selector.matchLabels", True, "object", {"minProperties": 1, "maxProperties": 64}),
    (
        V1,
        "spec.targetPorts",
        True,
        "array",
        {"minItems": 1, "maxItems": 8, "x-kubernetes-list-type": "atomic"}
        | rule("self.all(p1, self.exists_one(p2, p1.number==p2.number))", "port number must be unique"),
    ),
    (V1, "spec.targetPorts[].number", True, "integer", PORT),
    (V1, "spec.appProtocol", False, "string", {"enum": ["http", "kubernetes.io/h2c"], "default": "http"}),
    (
        V1,
        "spec.endpointPickerRef",
        False,
        "object",
        rule(
            "self.kind != 'Service' || has(self.port)",
            "port is required when kind is 'Service' or unspecified (defaults to 'Service')",
        ),
    ),
    (V1, "spec.endpointPickerRef.group", False, "string", GROUP | {"default": ""}),
    (V1, "spec.endpointPickerRef.kind", False, "string", KIND | {"default": "Service"}),
    (V1, "spec.endpointPickerRef.name", True, "string", NAME),
    (V1, "spec.endpointPickerRef.port", False, "object", {}),
    (V1, "spec.endpointPickerRef.port.number", True, "integer", PORT),
    (V1, "spec.endpointPickerRef.failureMode", False, "string", MODES),
    (V1, "status", False, "object", {}),
    (V1, "status.parents", False, "array", {"maxItems": 32, "x-kubernetes-list-type": "atomic"}),
    (V1, "status.parents[].parentRef", True, "object", {}),
    (V1, "status.parents[].parentRef.group", False, "string", GROUP | {"default": "gateway.networking.k8s.io"}),
    (V1, "status.parents[].parentRef.kind", False, "string", KIND | {"default": "Gateway"}),
    (V1, "status.parents[].parentRef.name", True, "string", NAME),
    (V1, "status.parents[].conditions", False, "array", CONDITIONS),
    (V1ALPHA2, "spec", False, "object", {}),
    (V1ALPHA2, "spec.selector", True, "object", {}),
    (V1ALPHA2, "spec.targetPortNumber", True, "integer", PORT),
    (V1ALPHA2, "spec.extensionRef", True, "object", {}),
    (V1ALPHA2, "spec.extensionRef.group", False, "string", GROUP | {"default": ""}),
    (V1ALPHA2, "spec.extensionRef.kind", False, "string", KIND | {"default": "Service"}),
    (V1ALPHA2, "spec.extensionRef.name", True, "string", NAME),
    (V1ALPHA2, "spec.extensionRef.portNumber", False, "integer", PORT),
    (V1ALPHA2, "spec.extensionRef.failureMode", False, "string", MODES),
    (V1ALPHA2, "status.parent", False, "array", {"maxItems": 32, "x-kubernetes-list-type": "atomic"}),
    (V1ALPHA2, "status.parent[].parentRef", True, "object", {}),
    (MODEL, "spec", False, "object", {}),
    (MODEL, "spec.modelName", True, "string", {"maxLength": 256} | rule("self == oldSelf", "modelName is immutable")),
    (MODEL, "spec.criticality", False, "string", {"enum": ["Critical", "Standard", "Sheddable"]}),
    (
        MODEL,
        "spec.targetModels",
        False,
        "array",
        {"maxItems": 10, "x-kubernetes-list-type": "atomic"}
        | rule(
            "self.all(model, has(model.weight)) || self.all(model, !has(model.weight))",
            "Weights should be set for all models, or none of the models.",
        ),
    ),
    (MODEL, "spec.targetModels[].name", True, "string", {"maxLength": 253}),
    (MODEL, "spec.targetModels[].weight", False, "integer", WEIGHT),
    (MODEL, "spec.poolRef", True, "object", {}),
    (MODEL, "spec.poolRef.group", False, "string", GROUP | {"default": EXPERIMENTAL}),
    (MODEL, "spec.poolRef.kind", False, "string", KIND | {"default": "InferencePool"}),
    (MODEL, "spec.poolRef.name", True, "string", NAME),
    (OBJECTIVE, "spec", False, "object", {}),
    (OBJECTIVE, "spec.poolRef", True, "object", {}),
    (OBJECTIVE, "spec.poolRef.group", False, "string", GROUP | {"default": STABLE}),
    (OBJECTIVE, "spec.priority", False, "integer", {}),
    (REWRITE, "spec.poolRef.group", False, "string", GROUP | {"default": STABLE}),
    (REWRITE, "spec.rules", True, "array", {"x-kubernetes-list-type": "atomic"}),
    (REWRITE, "spec.rules[].matches", False, "array", {"x-kubernetes-list-type": "atomic"}),
    (REWRITE, "spec.rules[].matches[].model", True, "object", {}),
    (REWRITE, "spec.rules[].matches[].model.type", False, "string", {"enum": ["Exact"], "default": "Exact"}),
    (REWRITE, "spec.rules[].matches[].model.value", True, "string", {"minLength": 1}),
    (REWRITE, "spec.rules[].targets", True, "array", {"minItems": 1, "x-kubernetes-list-type": "atomic"}),
    (REWRITE, "spec.rules[].targets[].modelRewrite", True, "string", {}),
    (REWRITE, "spec.rules[].targets[].weight", False, "integer", WEIGHT),
    (IMPORT, "status.controllers", True, "array", CONDITIONS | {"x-kubernetes-list-map-keys": ["name"]}),
    (IMPORT, "status.controllers[].exportingClusters[].name", True, "string", NAME),
    (IMPORT, "status.controllers[].conditions", False, "array", CONDITIONS),
]
"""Definition, field, required, type, and everything else that is said of it."""

STRUCTURE = {"type", "description", "properties", "items", "required", "additionalProperties"}


@pytest.mark.parametrize(("name", "path", "required", "kind", "said"), FACTS, ids=lambda one: str(one)[:60])
def test_each_field_is_as_in_the_reference(name: str, path: str, required: bool, kind: str, said: Schema) -> None:
    schema, is_required = at(PRINTED[name], path)
    assert (is_required, schema["type"]) == (required, kind)
    assert {word: value for word, value in schema.items() if word not in STRUCTURE} == said


@pytest.mark.parametrize(("name", "path"), [(V1, "spec.selector.matchLabels"), (V1ALPHA2, "spec.selector")])
def test_label_values_are_checked(name: str, path: str) -> None:
    schema, _ = at(PRINTED[name], path)
    assert schema["additionalProperties"] == {"type": "string"} | LABEL


CONDITION_TYPES = [(MODEL, "Ready"), (OBJECTIVE, "Ready"), (REWRITE, "Accepted")]


@pytest.mark.parametrize(("name", "kind"), CONDITION_TYPES)
def test_an_object_nobody_has_looked_at_is_pending(name: str, kind: str) -> None:
    schema, _ = at(PRINTED[name], "status.conditions")
    (condition,) = schema["default"]
    assert (condition["type"], condition["status"], condition["reason"]) == (kind, "Unknown", "Pending")
    assert (condition["message"], condition["lastTransitionTime"]) == ("Waiting for controller", "1970-01-01T00:00:00Z")


def test_an_old_pool_has_a_parent_that_does_not_exist() -> None:
    schema, _ = at(PRINTED[V1ALPHA2], "status")
    (parent,) = schema["default"]["parent"]
    assert parent["parentRef"] == {"kind": "Status", "name": "default"}
    assert [condition["type"] for condition in parent["conditions"]] == ["Accepted"]
    assert "default" not in at(PRINTED[V1], "status")[0]


def test_an_import_has_no_spec() -> None:
    assert set(root(PRINTED[IMPORT])["properties"]) == {"apiVersion", "kind", "metadata", "status"}


NAMES = [
    (V1, "InferencePool", "v1", ["infpool"], []),
    (V1ALPHA2, "InferencePool", "v1alpha2", ["xinfpool"], []),
    (MODEL, "InferenceModel", "v1alpha2", [], ["Model Name", "Inference Pool", "Criticality", "Age"]),
    (OBJECTIVE, "InferenceObjective", "v1alpha2", [], ["Inference Pool", "Priority", "Age"]),
    (REWRITE, "InferenceModelRewrite", "v1alpha2", [], ["Inference Pool", "Age"]),
    (IMPORT, "InferencePoolImport", "v1alpha1", ["infpimp"], []),
    ("inferenceobjectives.llm-d.ai", "InferenceObjective", "v1alpha2", [], ["Inference Pool", "Priority", "Age"]),
    ("inferencemodelrewrites.llm-d.ai", "InferenceModelRewrite", "v1alpha2", [], ["Inference Pool", "Age"]),
]


@pytest.mark.parametrize(("name", "kind", "version", "short", "columns"), NAMES, ids=[row[0] for row in NAMES])
def test_names_versions_and_columns(name: str, kind: str, version: str, short: list[str], columns: list[str]) -> None:
    spec = PRINTED[name]["spec"]
    plural, _, group = name.partition(".")
    assert (spec["group"], spec["scope"]) == (group, "Namespaced")
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    assert spec["names"] == names | ({"shortNames": short} if short else {})
    (served,) = spec["versions"]
    assert (served["name"], served["served"], served["storage"]) == (version, True, True)
    assert served["subresources"] == {"status": {}}
    assert [column["name"] for column in served.get("additionalPrinterColumns", ())] == columns


def test_every_inference_kind_that_is_read_has_a_definition() -> None:
    read = {(kind, version) for kind, versions in KINDS.items() for version in versions if kind.startswith("Inference")}
    assert {(one.kind, f"{one.group}/{one.version}") for one in DEFINITIONS} == read


def test_kubernetes_own_groups_carry_their_approval() -> None:
    approval = {name: printed["metadata"].get("annotations", {}) for name, printed in PRINTED.items()}
    assert approval[V1]["api-approved.kubernetes.io"].startswith("https://github.com/kubernetes-sigs/")
    assert approval[V1ALPHA2]["api-approved.kubernetes.io"] == "unapproved, experimental-only"
    assert approval[V1]["inference.networking.k8s.io/bundle-version"] == "v1.6.0"


@pytest.mark.parametrize(("annotated", "pattern"), [(Group, GROUP["pattern"]), (Kind, KIND["pattern"])])
def test_the_printed_pattern_is_the_one_that_is_enforced(annotated: Any, pattern: str) -> None:
    (check,) = [part.func for part in annotated.__metadata__ if isinstance(part.func, Text)]
    assert check.pattern is not None
    assert check.pattern.pattern in (pattern, pattern[1:-1])
