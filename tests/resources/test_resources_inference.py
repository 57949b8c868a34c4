"""InferencePool, InferenceModel, InferenceObjective and InferenceModelRewrite: defaults, limits and rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from signalbox.resources import AppProtocol, Criticality, FailureMode, InferencePool, InferencePoolImport, serialize

Complain = Callable[[str, Mapping[str, Any]], list[str]]


def test_a_pool_has_its_defaults_filled_in(documents: Any) -> None:
    pool = documents.read("pool")
    assert pool.spec.selector.match_labels == {"app": "llama"}
    assert [port.number for port in pool.spec.target_ports] == [8000]
    assert pool.spec.app_protocol is AppProtocol.HTTP
    picker = pool.spec.endpoint_picker_ref
    assert (picker.group, picker.kind, picker.name, picker.port) == ("", "Service", "epp", 9002)
    assert picker.failure_mode is FailureMode.FAIL_CLOSE


def test_a_pool_needs_no_picker(documents: Any) -> None:
    assert documents.read("pool", {"spec.endpointPickerRef": None}).spec.endpoint_picker_ref is None


def test_a_picker_that_is_no_service_needs_no_port(documents: Any) -> None:
    changes = {"spec.endpointPickerRef": {"kind": "Picker", "group": "example.com", "name": "epp"}}
    assert documents.read("pool", changes).spec.endpoint_picker_ref.port is None


def test_an_old_pool_is_converted(documents: Any) -> None:
    changes = {"spec.extensionRef": {"name": "epp", "portNumber": 9100, "failureMode": "FailOpen"}}
    pool = documents.read("old pool", changes)
    same = documents.read(
        "pool", {"spec.endpointPickerRef": {"name": "epp", "port": {"number": 9100}, "failureMode": "FailOpen"}}
    )
    assert isinstance(pool, InferencePool)
    assert pool == same
    assert pool.api_version == "inference.networking.k8s.io/v1"
    assert pool.written_as == "inference.networking.x-k8s.io/v1alpha2"
    assert same.written_as == pool.api_version
    assert serialize(pool)["spec"]["targetPorts"] == [{"number": 8000}]


def test_the_port_of_an_old_picker_service_is_inferred(documents: Any) -> None:
    assert documents.read("old pool").spec.endpoint_picker_ref.port == 9002
    changes = {"spec.extensionRef": {"kind": "Picker", "name": "epp"}}
    assert documents.read("old pool", changes).spec.endpoint_picker_ref.port is None


def test_the_selector_of_an_old_pool_may_be_empty(documents: Any) -> None:
    pool = documents.read("old pool", {"spec.selector": {}})
    assert pool.spec.selector.match_labels == {}


def test_an_imported_pool_has_a_name_and_a_status_but_no_spec(documents: Any, complaints: Complain) -> None:
    status = {"controllers": [{"name": "example.com/importer"}]}
    imported = documents.read("import", {"status": status})
    assert isinstance(imported, InferencePoolImport)
    assert (imported.key.kind, imported.metadata.name, imported.status) == ("InferencePoolImport", "llama", status)
    (said,) = complaints("import", {"spec": {}})
    assert said == "spec: is not a known field; remove it; the fields here are apiVersion, kind, metadata, status"


def test_a_model_leaves_open_what_is_not_said(documents: Any) -> None:
    model = documents.read("model")
    assert model.spec.criticality is None
    assert model.spec.target_models == ()
    assert model.spec.pool_ref.group == "inference.networking.x-k8s.io"
    assert model.spec.pool_ref.kind == "InferencePool"


def test_a_model_splits_traffic(documents: Any) -> None:
    targets = [{"name": "a", "weight": 1}, {"name": "b", "weight": 1_000_000}]
    model = documents.read("model", {"spec.criticality": "Sheddable", "spec.targetModels": targets})
    assert model.spec.criticality is Criticality.SHEDDABLE
    assert [(target.name, target.weight) for target in model.spec.target_models] == [("a", 1), ("b", 1_000_000)]


@pytest.mark.parametrize("version", ["inference.networking.x-k8s.io/v1alpha2", "llm-d.ai/v1alpha2"])
def test_objectives_and_rewrites_are_read_from_both_groups(documents: Any, version: str) -> None:
    objective = documents.read("objective", {"apiVersion": version, "spec.priority": -10})
    assert (objective.spec.priority, objective.spec.pool_ref.group) == (-10, "inference.networking.k8s.io")
    rewrite = documents.read(
        "rewrite",
        {"apiVersion": version, "spec.rules.0.matches": [{"model": {"value": "a"}}, {"model": {"value": "b"}}]},
    )
    (rule,) = rewrite.spec.rules
    assert [(match.type, match.value) for match in rule.matches] == [("Exact", "a"), ("Exact", "b")]
    assert [(target.model_rewrite, target.weight) for target in rule.targets] == [("v2", None)]


def test_an_objective_need_not_have_a_priority(documents: Any) -> None:
    assert documents.read("objective").spec.priority is None


RANGE = "use a number in that range"
Table = list[tuple[str, Any, str]]

POOL: Table = [
    ("spec", None, "spec: is required; add spec"),
    ("spec.targetPorts", [], "spec.targetPorts: must hold at least 1 port, got 0; add a port"),
    (
        "spec.targetPorts",
        [{"number": port} for port in range(1, 10)],
        "spec.targetPorts: must hold at most 8 ports, got 9; remove 1",
    ),
    (
        "spec.targetPorts",
        [{"number": port} for port in (8000, 80, 8000, 443)],
        "spec.targetPorts[2].number: 8000 is already used by entry 0; use each value once",
    ),
    ("spec.targetPorts.0.number", 0, f"spec.targetPorts[0].number: must be from 1 to 65535, got 0; {RANGE}"),
    ("spec.targetPorts.0.number", 65536, f"spec.targetPorts[0].number: must be from 1 to 65535, got 65536; {RANGE}"),
    ("spec.selector.matchLabels", {}, "spec.selector.matchLabels: must hold at least 1 label, got 0; add a label"),
    (
        "spec.selector.matchLabels",
        {f"label-{number}": "" for number in range(65)},
        "spec.selector.matchLabels: must hold at most 64 labels, got 65; remove 1",
    ),
    (
        "spec.selector.matchLabels.app",
        "a b",
        "spec.selector.matchLabels.app: 'a b' is not allowed here; write letters, digits, '-', '_' and '.'",
    ),
    (
        "spec.selector.matchLabels",
        {"A_/b": "x"},
        "spec.selector.matchLabels[\"A_/b\"]: 'A_/b' has a prefix that is not a DNS name; write DOMAIN/NAME or NAME",
    ),
    (
        "spec.selector.matchExpressions",
        [],
        "spec.selector.matchExpressions: is not a known field; remove it; the fields here are matchLabels",
    ),
    (
        "spec.endpointPickerRef.port",
        None,
        "spec.endpointPickerRef.port: is required when kind is 'Service' or unspecified; "
        "add 'port: {number: 9002}', the usual port",
    ),
    (
        "spec.endpointPickerRef.kind",
        "",
        "spec.endpointPickerRef.kind: must not be empty; write a kind like 'InferencePool'",
    ),
    (
        "spec.endpointPickerRef.port",
        9002,
        "spec.endpointPickerRef.port: expected a mapping, got the integer 9002; "
        "write 'name: value' lines, indented under it",
    ),
    (
        "spec.endpointPickerRef.failureMode",
        "FailOpn",
        "spec.endpointPickerRef.failureMode: must be one of FailOpen, FailClose, got the string 'FailOpn'; "
        "did you mean 'FailOpen'?",
    ),
    (
        "spec.endpointPickerRef.name",
        "n" * 254,
        "spec.endpointPickerRef.name: must be at most 253 characters, got 254; shorten it",
    ),
    (
        "spec.endpointPickerRef.group",
        "A B",
        "spec.endpointPickerRef.group: 'A B' is not allowed here; "
        "write an API group like 'inference.networking.k8s.io'",
    ),
    (
        "spec.appProtocol",
        "grpc",
        "spec.appProtocol: must be one of http, kubernetes.io/h2c, got the string 'grpc'; use one of them",
    ),
    ("spec.targetPortNumber", 8000, "spec.targetPortNumber: is not a known field; did you mean 'targetPorts'?"),
]
OLD_POOL: Table = [
    ("spec.targetPortNumber", None, "spec.targetPortNumber: is required; add targetPortNumber"),
    ("spec.extensionRef", None, "spec.extensionRef: is required; add extensionRef"),
    ("spec.targetPorts", [], "spec.targetPorts: is not a known field; did you mean 'targetPortNumber'?"),
    ("spec.extensionRef.portNumber", 0, f"spec.extensionRef.portNumber: must be from 1 to 65535, got 0; {RANGE}"),
]
MODEL: Table = [
    ("spec.modelName", None, "spec.modelName: is required; add modelName"),
    ("spec.modelName", "m" * 257, "spec.modelName: must be at most 256 characters, got 257; shorten it"),
    ("spec.poolRef", {}, "spec.poolRef.name: is required; add name"),
    (
        "spec.criticality",
        "Standrad",
        "spec.criticality: must be one of Critical, Standard, Sheddable, got the string 'Standrad'; "
        "did you mean 'Standard'?",
    ),
    (
        "spec.targetModels",
        [{"name": f"m{number}"} for number in range(11)],
        "spec.targetModels: must hold at most 10 models, got 11; remove 1",
    ),
    (
        "spec.targetModels",
        [{"name": "a", "weight": 1}, {"name": "b"}],
        "spec.targetModels[1].weight: is missing while other targetModels have one; "
        "set weights for all target models, or for none of them",
    ),
    (
        "spec.targetModels",
        [{"name": "a", "weight": 0}],
        f"spec.targetModels[0].weight: must be from 1 to 1000000, got 0; {RANGE}",
    ),
    (
        "spec.targetModels",
        [{"name": "a", "weight": 1_000_001}],
        f"spec.targetModels[0].weight: must be from 1 to 1000000, got 1000001; {RANGE}",
    ),
    (
        "spec.targetModels",
        [{"name": "n" * 254}],
        "spec.targetModels[0].name: must be at most 253 characters, got 254; shorten it",
    ),
]
OBJECTIVE: Table = [
    ("spec.poolRef", None, "spec.poolRef: is required; add poolRef"),
    ("spec.priority", "high", "spec.priority: expected an integer, got the string 'high'; write a whole number"),
    (
        "spec.priority",
        2**63,
        "spec.priority: must be from -9223372036854775808 to 9223372036854775807, got 9223372036854775808; " + RANGE,
    ),
]
REWRITE: Table = [
    ("spec.rules", None, "spec.rules: is required; add rules"),
    ("spec.rules.0.targets", [], "spec.rules[0].targets: must hold at least 1 target, got 0; add a target"),
    (
        "spec.rules.0.matches",
        [{"model": {"type": "Prefix", "value": "a"}}],
        "spec.rules[0].matches[0].model.type: must be Exact, got the string 'Prefix'; write Exact",
    ),
    (
        "spec.rules.0.matches",
        [{"model": {"value": ""}}],
        "spec.rules[0].matches[0].model.value: must not be empty; write a value",
    ),
    ("spec.rules.0.matches", [{}], "spec.rules[0].matches[0].model: is required; add model"),
    (
        "spec.rules.0.targets.0.weight",
        0,
        f"spec.rules[0].targets[0].weight: must be from 1 to 1000000, got 0; {RANGE}",
    ),
]
CASES = [
    pytest.param(which, path, value, said, id=f"{which}-{said.partition(';')[0][:70]}")
    for which, table in (
        ("pool", POOL),
        ("old pool", OLD_POOL),
        ("model", MODEL),
        ("objective", OBJECTIVE),
        ("rewrite", REWRITE),
    )
    for path, value, said in table
]


@pytest.mark.parametrize(("which", "path", "value", "said"), CASES)
def test_a_rule_broken_is_said(complaints: Complain, which: str, path: str, value: object, said: str) -> None:
    assert complaints(which, {path: value}) == [said]
