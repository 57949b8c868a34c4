"""What the chart comes to, value by value."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
import yaml
from tests.cli.body_routers import parse as parse_bbr
from tests.cli.pickers import parse
from tests.deploy.rendered import (
    CHART,
    CLUSTER_WIDE,
    Object,
    check,
    containers,
    helm,
    helm_command,
    kinds,
    kustomized,
    only,
    templated,
)

from signalbox.adapters.config import parse_config
from signalbox.cluster.lease import lease_name

EVERYTHING = (
    "picker.replicas=3", 'picker.tlsSecret="tls"', 'picker.extraArgs=["--body-limit=64"]',
    'picker.env=[{"name": "KV_CACHE_THRESHOLD", "value": "0.7"}]', 'picker.nodeSelector={"a": "b"}',
    'picker.tolerations=[{"key": "k", "operator": "Exists"}]', 'picker.podAnnotations={"a": "b"}',
    'picker.affinity={"nodeAffinity": {}}', 'image.pullSecrets=["regcred"]',
    "autoscaling.enabled=true", "networkPolicy.enabled=true", 'networkPolicy.gatewayNamespaces={"gateway": "yes"}',
    "metrics.serviceMonitor.enabled=true", 'metrics.serviceMonitor.labels={"release": "prometheus"}',
    "modelServer.enabled=true", 'modelServer.env=[{"name": "HF_HOME", "value": "/data"}]',
    'modelServer.nodeSelector={"gpu": "yes"}', 'modelServer.tolerations=[{"key": "k", "operator": "Exists"}]',
    "modelServer.loraSyncer.enabled=true", 'modelServer.loraSyncer.config={"name": "adapters", "port": 8000}',
    "bodyBasedRouter.enabled=true", 'networkPolicy.gatewayCIDRs=["192.0.2.0/24", "2001:db8::/32"]',
)  # fmt: skip


AUTH = "models-llm-epp-metrics-auth"


def picker(objects: list[Object]) -> tuple[Object, Object]:
    """The picker's pod spec and its container."""
    pod = only(objects, "Deployment", "llm-epp")["spec"]["template"]["spec"]
    return pod, pod["containers"][0]


def test_lint_finds_nothing() -> None:
    result = subprocess.run([helm(), "lint", str(CHART)], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout
    assert "[WARNING]" not in result.stdout
    assert "[ERROR]" not in result.stdout


@pytest.mark.parametrize("chosen", [(), EVERYTHING, *((value,) for value in EVERYTHING if "loraSyncer" not in value)])
def test_every_object_is_valid_with_each_value_and_with_all(chosen: tuple[str, ...]) -> None:
    objects = templated(*chosen)
    check(objects)
    for each in objects:
        expected = None if each["kind"] in CLUSTER_WIDE else "models"
        assert each["metadata"].get("namespace") == expected, each["metadata"]["name"]


def test_what_is_installed_by_default() -> None:
    assert kinds(templated()) == {
        "InferencePool": 1, "ServiceAccount": 1, "Role": 1, "RoleBinding": 1, "ClusterRole": 2,
        "ClusterRoleBinding": 2, "ConfigMap": 1, "Service": 1, "Deployment": 1,
    }  # fmt: skip


@pytest.mark.parametrize("chosen", [(), EVERYTHING], ids=["default", "everything"])
def test_the_picker_starts_with_its_arguments(chosen: tuple[str, ...]) -> None:
    objects = templated(*chosen)
    pod, container = picker(objects)
    options = parse(*container["args"][1:])
    assert (options.pool_name, options.pool_namespace) == ("llm", "models")
    assert options.leader_election is bool(chosen)
    assert options.drain_delay > 0
    assert options.drain_delay + options.drain_seconds + 15 == pod["terminationGracePeriodSeconds"]
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert options.config_file is not None
    assert str(options.config_file.parent) in mounted
    assert (options.cert_path is not None) is bool(chosen)
    assert options.cert_path is None or str(options.cert_path) in mounted


@pytest.mark.parametrize("chosen", [(), EVERYTHING], ids=["default", "everything"])
def test_our_containers_run_with_as_little_as_they_need(chosen: tuple[str, ...]) -> None:
    for pod, container in containers(templated(*chosen)):
        if container["image"].startswith("signalbox:"):
            security = {**pod.get("securityContext", {}), **container["securityContext"]}
            assert (security["runAsNonRoot"], security["readOnlyRootFilesystem"]) == (True, True)
            assert security["runAsUser"] > 1000
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}


def rules(objects: list[Object], kind: str) -> list[Any]:
    return [rule for each in objects if each["kind"] == kind for rule in each["rules"]]


def test_chart_and_kustomize_allow_the_picker_the_same() -> None:
    assert rules(templated(), "Role") == rules(kustomized("epp"), "Role")
    assert rules(templated(), "ClusterRole") == rules(kustomized("epp"), "ClusterRole")


def test_chart_and_kustomize_decide_by_the_same_configuration() -> None:
    ours = yaml.safe_load(only(templated(), "ConfigMap")["data"]["epp.yaml"])
    assert ours == yaml.safe_load(only(kustomized("epp"), "ConfigMap")["data"]["epp.yaml"])


def test_several_pickers_elect_a_leader_by_a_lease_of_their_own() -> None:
    objects = templated("picker.replicas=3")
    leases = [rule for rule in rules(objects, "Role") if rule["resources"] == ["leases"]]
    assert [rule["verbs"] for rule in leases] == [["create"], ["get", "update"]]
    assert leases[1]["resourceNames"] == [lease_name("models", "llm")]
    assert kinds(objects)["PodDisruptionBudget"] == 0, "of one ready pod it would never let that one go"


def test_several_pickers_may_all_be_asked_instead() -> None:
    objects = templated("picker.replicas=3", "picker.leaderElection=false")
    assert not [rule for rule in rules(objects, "Role") if rule["resources"] == ["leases"]]
    assert not parse(*picker(objects)[1]["args"][1:]).leader_election
    assert only(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_one_picker_needs_no_budget_and_no_lease() -> None:
    objects = templated()
    assert kinds(objects)["PodDisruptionBudget"] == 0
    assert not [rule for rule in rules(objects, "Role") if rule["resources"] == ["leases"]]


def test_open_metrics_need_nothing_of_the_cluster() -> None:
    objects = templated("metrics.auth=false", "metrics.serviceMonitor.enabled=true")
    assert parse(*picker(objects)[1]["args"][1:]).metrics_endpoint_auth is False
    assert not {"ClusterRole", "ClusterRoleBinding", "Secret"} & kinds(objects).keys()
    assert "authorization" not in only(objects, "ServiceMonitor")["spec"]["endpoints"][0]


def test_cluster_wide_names_differ_by_namespace() -> None:
    names = [
        {each["metadata"]["name"] for each in templated("metrics.serviceMonitor.enabled=true", namespace=namespace)
         if each["kind"] in CLUSTER_WIDE}
        for namespace in ("one", "two")
    ]  # fmt: skip
    assert names[0]
    assert not names[0] & names[1]


def test_without_a_configuration_there_is_no_file_and_the_guides_tree_decides() -> None:
    objects = templated('picker.configuration=""')
    assert kinds(objects)["ConfigMap"] == 0
    _, container = picker(objects)
    assert parse(*container["args"][1:]).config_file is None
    assert "/config" not in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_a_changed_configuration_does_not_change_the_pods() -> None:
    changed = templated('picker.configuration="kind: Other\\n"')
    assert only(changed, "ConfigMap")["data"]["epp.yaml"] == "kind: Other\n"
    assert only(changed, "Deployment") == only(templated(), "Deployment"), "the picker follows its file"


def test_an_existing_pool_can_be_served() -> None:
    objects = templated("inferencePool.create=false", 'inferencePool.name="theirs"')
    assert kinds(objects)["InferencePool"] == 0
    container = only(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert parse(*container["args"][1:]).pool_name == "theirs"


def test_the_pools_labels_are_those_of_its_servers_and_of_the_policy() -> None:
    chosen = ('inferencePool.matchLabels={"model": "llama"}', "modelServer.enabled=true", "networkPolicy.enabled=true")
    objects = templated(*chosen)
    labels = {"model": "llama"}
    assert only(objects, "InferencePool")["spec"]["selector"]["matchLabels"] == labels
    assert only(objects, "Deployment", "llm")["spec"]["template"]["metadata"]["labels"] == labels
    egress = only(objects, "NetworkPolicy")["spec"]["egress"][0]
    assert egress["to"] == [{"podSelector": {"matchLabels": labels}}]


def test_each_rank_has_its_port() -> None:
    objects = templated("inferencePool.targetPorts=[8000, 8001]", "networkPolicy.enabled=true")
    assert only(objects, "InferencePool")["spec"]["targetPorts"] == [{"number": 8000}, {"number": 8001}]
    ports = only(objects, "NetworkPolicy")["spec"]["egress"][0]["ports"]
    assert [port["port"] for port in ports] == [8000, 8001]


def test_the_syncer_is_a_native_sidecar_whose_configuration_it_can_read() -> None:
    objects = templated(*EVERYTHING)
    pod = only(objects, "Deployment", "llm")["spec"]["template"]["spec"]
    (syncer,) = pod["initContainers"]
    assert (syncer["args"], syncer["restartPolicy"]) == (["lora-syncer"], "Always")
    text = only(objects, "ConfigMap", "llm-adapters")["data"]["configmap.yaml"]
    assert parse_config(text, "configmap.yaml").config.port == 8000
    assert {"name": "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "value": "true"} in pod["containers"][0]["env"]
    assert "replicas" not in only(objects, "Deployment", "llm")["spec"], "the autoscaler says how many"


def test_body_based_routing_starts_with_its_arguments_and_the_rights_of_the_kustomize_base() -> None:
    objects = templated("bodyBasedRouter.enabled=true")
    pod = only(objects, "Deployment", "llm-bbr")["spec"]["template"]["spec"]
    options = parse_bbr(*pod["containers"][0]["args"][1:])
    assert (options.streaming, options.namespace) == (True, "models")
    assert options.metrics_endpoint_auth is None, "as is usual in a cluster: guarded"
    assert options.drain_delay + options.drain_seconds + 15 == pod["terminationGracePeriodSeconds"]
    assert "llm-bbr" in {each["name"] for each in only(objects, "ClusterRoleBinding", AUTH)["subjects"]}
    assert only(objects, "Role", pod["serviceAccountName"])["rules"] == only(kustomized("bbr"), "Role")["rules"]


def test_body_based_routing_has_budget_monitor_and_policy_as_the_picker_has() -> None:
    chosen = ("bodyBasedRouter.enabled=true", "metrics.serviceMonitor.enabled=true", "networkPolicy.enabled=true")
    objects = templated(*chosen)
    assert only(objects, "PodDisruptionBudget", "llm-bbr")["spec"]["maxUnavailable"] == 1
    monitor = only(objects, "ServiceMonitor", "llm-bbr")["spec"]
    service = only(objects, "Service", "llm-bbr")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert "authorization" in monitor["endpoints"][0]
    let_in = [rule["ports"][0]["port"] for rule in only(objects, "NetworkPolicy", "llm-bbr")["spec"]["ingress"]]
    assert let_in == [9004, 9005, 9090]
    assert kinds(templated("bodyBasedRouter.enabled=true", "bodyBasedRouter.replicas=1"))["PodDisruptionBudget"] == 0


@pytest.mark.parametrize(
    ("chosen", "peers"),
    [
        ((), [{"namespaceSelector": {}}]),
        (
            ('networkPolicy.gatewayCIDRs=["192.0.2.0/24"]',),
            [{"namespaceSelector": {}}, {"ipBlock": {"cidr": "192.0.2.0/24"}}],
        ),
        (
            ('networkPolicy.gatewayNamespaces={"gateway": "yes"}', 'networkPolicy.gatewayCIDRs=["2001:db8::/32"]'),
            [
                {"namespaceSelector": {"matchLabels": {"gateway": "yes"}}},
                {"ipBlock": {"cidr": "2001:db8::/32"}},
            ],
        ),
    ],
)
def test_gateways_may_be_pods_or_addresses(chosen: tuple[str, ...], peers: list[Object]) -> None:
    objects = templated("networkPolicy.enabled=true", "bodyBasedRouter.enabled=true", *chosen)
    for name in ("llm-epp", "llm-bbr"):
        assert only(objects, "NetworkPolicy", name)["spec"]["ingress"][0]["from"] == peers


def test_a_new_chart_version_does_not_change_the_pods() -> None:
    for each in templated(*EVERYTHING):
        if each["kind"] == "Deployment":
            assert "helm.sh/chart" in each["metadata"]["labels"]
            assert "helm.sh/chart" not in each["spec"]["template"]["metadata"]["labels"]


def test_servers_are_of_a_version_have_no_token_and_the_syncer_has_bounds() -> None:
    pod = only(templated(*EVERYTHING), "Deployment", "llm")["spec"]["template"]["spec"]
    assert not pod["containers"][0]["image"].endswith(":latest")
    assert pod["automountServiceAccountToken"] is False
    assert pod["initContainers"][0]["resources"]["limits"]["memory"]


def test_body_based_routing_without_base_models_has_no_rights_at_all() -> None:
    objects = templated("bodyBasedRouter.enabled=true", "bodyBasedRouter.baseModels=false")
    pod = only(objects, "Deployment", "llm-bbr")["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert parse_bbr(*pod["containers"][0]["args"][1:]).metrics_endpoint_auth is False, "it has no token to ask with"
    assert [each["metadata"]["name"] for each in objects if each["kind"] == "Role"] == ["llm-epp"]


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("picker.replcas=2", "replcas"),
        ("picker.replicas=0", "picker.replicas"),
        ('picker.replicas="2"', "picker.replicas"),
        ('inferencePool.failureMode="Open"', "failureMode"),
        ("inferencePool.targetPorts=[]", "targetPorts"),
        ("inferencePool.targetPorts=[70000]", "targetPorts"),
        ('inferencePool.name="Not_A_Name"', "name"),
        ('networkPolicy.gatewayCIDRs=["gateway.example"]', "gatewayCIDRs"),
        ("modelServer={\"enabled\": true, \"loraSyncer\": {\"enabled\": true}}", "loraSyncer.config is empty"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_is_refused_by_name(value: str, complaint: str) -> None:
    command = helm_command(value)
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode != 0
    assert complaint in result.stderr


def test_defaults_satisfy_the_schema_that_is_shipped() -> None:
    assert json.loads((CHART / "values.schema.json").read_text())["additionalProperties"] is False
    assert templated()
