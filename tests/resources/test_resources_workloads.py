"""Deployment, Pod, ConfigMap and Service: what is read of them, and which mistakes are caught."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from signalbox.resources import HTTPGet, Pod, PodStatus

Complain = Callable[[str, Mapping[str, Any]], list[str]]
Table = list[tuple[str, Any, str]]
CONTAINER = "spec.template.spec.containers.0"
SAID_CONTAINER = "spec.template.spec.containers[0]"


def test_a_deployment_has_kubernetes_defaults(documents: Any) -> None:
    spec = documents.read("deployment").spec
    assert spec.replicas == 1
    assert spec.template.spec.termination_grace_period_seconds == 30
    assert spec.template.spec.restart_policy == "Always"
    assert spec.template.spec.init_containers == ()


def test_a_deployment_may_rest_at_zero(documents: Any) -> None:
    assert documents.read("deployment", {"spec.replicas": 0}).spec.replicas == 0


def test_a_probe_has_kubernetes_defaults(documents: Any) -> None:
    probe = {"httpGet": {"path": "/health", "port": "http"}}
    read = documents.read("deployment", {f"{CONTAINER}.readinessProbe": probe})
    (container,) = read.spec.template.spec.containers
    ready = container.readiness_probe
    assert ready.http_get == HTTPGet(path="/health", port="http", scheme="HTTP")
    assert (ready.initial_delay_seconds, ready.period_seconds, ready.timeout_seconds) == (0, 10, 1)
    assert (ready.success_threshold, ready.failure_threshold) == (1, 3)
    assert (container.liveness_probe, container.startup_probe) == (None, None)


@pytest.mark.parametrize(
    "question",
    [{"httpGet": {"port": 8000}}, {"grpc": {"port": 9003}}, {"tcpSocket": {"port": "x"}}, {"exec": {"command": ["a"]}}],
)
def test_a_probe_asks_in_one_of_four_ways(documents: Any, question: dict[str, Any]) -> None:
    read = documents.read("deployment", {f"{CONTAINER}.startupProbe": question})
    probe = read.spec.template.spec.containers[0].startup_probe
    asked = (probe.http_get, probe.grpc, probe.tcp_socket, probe.command)
    assert sum(way is not None for way in asked) == 1


def test_a_config_map_is_mounted_as_files(documents: Any) -> None:
    mount = {"name": "config", "mountPath": "/config"}
    read = documents.read(
        "deployment",
        {
            "spec.template.spec.volumes": [{"name": "config", "configMap": {"name": "adapters"}}, {"name": "shm"}],
            "spec.template.spec.initContainers": [
                {"name": "syncer", "restartPolicy": "Always", "volumeMounts": [mount], "env": [{"name": "A"}]}
            ],
        },
    )
    spec = read.spec.template.spec
    assert spec.volumes[0].config_map.name == "adapters"
    assert spec.volumes[1].config_map is None
    (syncer,) = spec.init_containers
    assert syncer.restart_policy == "Always"
    assert (syncer.volume_mounts[0].mount_path, syncer.volume_mounts[0].read_only) == ("/config", False)
    assert (syncer.env[0].name, syncer.env[0].value) == ("A", "")


def test_standard_fields_that_nothing_reads_are_accepted_and_kept(documents: Any) -> None:
    limits = {"limits": {"nvidia.com/gpu": 1}}
    read = documents.read("deployment", {f"{CONTAINER}.resources": limits, "spec.strategy": {"type": "Recreate"}})
    assert read.spec.template.spec.containers[0].resources == limits
    assert read.spec.strategy == {"type": "Recreate"}


def test_a_service_port_targets_a_number_or_a_name(documents: Any) -> None:
    ports = [{"name": "a", "port": 80, "targetPort": 8000}, {"name": "b", "port": 81, "targetPort": "http"}]
    service = documents.read("service", {"spec.ports": ports})
    assert [port.target_port for port in service.spec.ports] == [8000, "http"]
    assert documents.read("service").spec.ports[0].target_port is None
    assert service.spec.type == "ClusterIP"


def test_a_config_map_holds_texts(documents: Any) -> None:
    assert documents.read("config map").data == {"a.yaml": "x"}
    assert documents.read("config map", {"data": None}).data == {}


@pytest.mark.parametrize(("status", "ready"), [("True", True), ("False", False), ("Unknown", False)])
def test_a_pod_is_ready_when_its_condition_says_so(documents: Any, status: str, ready: bool) -> None:
    conditions = [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": status}]
    assert documents.read("pod", {"status.conditions": conditions}).ready is ready


def test_a_pod_with_no_status_or_spec_is_a_pod_that_is_not_ready(documents: Any) -> None:
    pod: Pod = documents.read("pod", {"status": None, "spec": None})
    assert (pod.status, pod.spec, pod.ready, pod.terminating) == (PodStatus(), None, False, False)


def test_a_pod_that_was_asked_to_go_is_terminating(documents: Any) -> None:
    assert documents.read("pod", {"metadata.deletionTimestamp": "2025-03-13T09:30:00Z"}).terminating


DEPLOYMENT: Table = [
    ("spec.replica", 3, "spec.replica: is not a known field; did you mean 'replicas'?"),
    ("spec.replicas", "3", "spec.replicas: expected an integer, got the string '3'; write 3 without quotes"),
    (
        "spec.selector.matchLabels",
        {"app": "other"},
        "spec.selector.matchLabels.app: asks for 'other', but template.metadata.labels has 'llama'; "
        "make the selector and the template's labels agree",
    ),
    (
        "spec.selector.matchLabels",
        {"tier": "x"},
        "spec.selector.matchLabels.tier: asks for 'x', but template.metadata.labels has no such label; "
        "make the selector and the template's labels agree",
    ),
    (
        "spec.selector",
        {},
        "spec.selector: selects nothing in particular; add matchLabels with a label of the template",
    ),
    (
        "spec.template.spec.restartPolicy",
        "Never",
        "spec.template.spec.restartPolicy: must be Always in a Deployment, got 'Never'; write Always or remove it",
    ),
    (
        "spec.template.spec.containers",
        [],
        "spec.template.spec.containers: must hold at least 1 container, got 0; add a container",
    ),
    (
        "spec.template.spec.containers",
        [{"name": "a"}, {"name": "a"}],
        "spec.template.spec.containers[1].name: 'a' is already used by entry 0; use each value once",
    ),
    (
        "spec.template.spec.volumes",
        [{"name": "c", "configmap": {"name": "a"}}],
        "spec.template.spec.volumes[0].configmap: is not a known field; did you mean 'configMap'?",
    ),
    ("spec.template.metadata.label", {}, "spec.template.metadata.label: is not a known field; did you mean 'labels'?"),
]
IN_CONTAINER: Table = [
    ("args", ["--port", 8000], 'args[1]: expected a string, got the integer 8000; put it in quotes: "8000"'),
    ("args", ["--lora", True], 'args[1]: expected a string, got the boolean true; put it in quotes: "true"'),
    ("args", "--port", "args: expected a list, got the string '--port'; start each entry with '- '"),
    (
        "env",
        [{"name": "PORT", "value": 8000}],
        'env[0].value: expected a string, got the integer 8000; put it in quotes: "8000"',
    ),
    (
        "ports",
        [{"containerPort": "80a"}],
        "ports[0].containerPort: expected an integer, got the string '80a'; write a whole number",
    ),
    ("readinessProb", {}, "readinessProb: is not a known field; did you mean 'readinessProbe'?"),
    (
        "readinessProbe",
        {"periodSeconds": 1},
        "readinessProbe: must ask in exactly one way, got 0; add one of httpGet, grpc, tcpSocket, exec",
    ),
    (
        "readinessProbe",
        {"httpGet": {"port": 1}, "grpc": {"port": 2}},
        "readinessProbe: must ask in exactly one way, got 2; keep one of httpGet, grpc, tcpSocket, exec",
    ),
    (
        "readinessProbe",
        {"httpGet": {"port": []}},
        "readinessProbe.httpGet.port: expected an integer or a string, got a list; write a number or a name",
    ),
    (
        "readinessProbe",
        {"httpGet": {"port": 1}, "periodSeconds": 0},
        "readinessProbe.periodSeconds: must be from 1 to 2147483647, got 0; use a number in that range",
    ),
    (
        "volumeMounts",
        [{"name": "config", "mountPath": "/c"}],
        "volumeMounts[0].name: there is no volume named 'config'; add it to the pod's volumes",
    ),
]
OTHERS: list[tuple[str, str, Any, str]] = [
    (
        "service",
        "spec.ports",
        [{"port": 1}, {"port": 2}],
        "spec.ports[0].name: is required where a Service has several ports; add a name",
    ),
    (
        "service",
        "spec.ports.0.targetPort",
        True,
        "spec.ports[0].targetPort: expected an integer or a string, got the boolean true; write a number or a name",
    ),
    (
        "service",
        "metadata.name",
        "1epp",
        "metadata.name: '1epp' is not allowed here; write a letter, then lower-case letters, digits and '-'",
    ),
    (
        "config map",
        "data",
        {"a b": "x"},
        "data[\"a b\"]: 'a b' is not allowed here; write letters, digits, '-', '_' and '.'",
    ),
    ("config map", "data", {"a": None}, 'data.a: expected a string, got null; write "" for an empty text'),
    ("config map", "data", {"a": {}}, "data.a: expected a string, got a mapping; write a single text"),
    (
        "config map",
        "immutable",
        "true",
        "immutable: expected true or false, got the string 'true'; write true without quotes",
    ),
    ("pod", "status.podIp", "1", "status.podIp: is not a known field; did you mean 'podIP'?"),
    (
        "pod",
        "status.conditions.0.status",
        True,
        "status.conditions[0].status: must be one of True, False, Unknown, got the boolean true; "
        'put it in quotes: "True"',
    ),
]
CASES = [
    *(("deployment", path, value, said) for path, value, said in DEPLOYMENT),
    *(("deployment", f"{CONTAINER}.{path}", value, f"{SAID_CONTAINER}.{said}") for path, value, said in IN_CONTAINER),
    *OTHERS,
]


@pytest.mark.parametrize(("which", "path", "value", "said"), CASES)
def test_a_mistake_is_said(complaints: Complain, which: str, path: str, value: object, said: str) -> None:
    assert complaints(which, {path: value}) == [said]


def test_a_mount_misspelt_is_matched_to_its_volume(complaints: Complain) -> None:
    changes = {
        "spec.template.spec.volumes": [{"name": "config-volume", "configMap": {"name": "a"}}],
        f"{CONTAINER}.volumeMounts": [{"name": "config-volum", "mountPath": "/c"}],
    }
    assert complaints("deployment", changes) == [
        f"{SAID_CONTAINER}.volumeMounts[0].name: there is no volume named 'config-volum'; did you mean 'config-volume'?"
    ]
