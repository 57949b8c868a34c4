"""What deploy/kustomize comes to."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import pytest
import yaml
from tests.cli.body_routers import parse as parse_bbr
from tests.cli.pickers import parse
from tests.deploy.rendered import (
    CLUSTER_WIDE,
    COMPONENTS,
    ROOT,
    Object,
    check,
    containers,
    kinds,
    kustomized,
    only,
    with_components,
)

from signalbox.cluster.lease import lease_name
from signalbox.scheduling import load_policy
from signalbox.sources.kubernetes.kinds import POLICIES, POOLS

EVERYTHING = [("epp",), ("bbr",), ("overlays", "get-started")]


@pytest.mark.parametrize("path", EVERYTHING, ids="/".join)
def test_every_object_is_valid(path: tuple[str, ...]) -> None:
    check(kustomized(*path))


@pytest.mark.parametrize("path", EVERYTHING, ids="/".join)
def test_our_containers_run_with_as_little_as_they_need(path: tuple[str, ...]) -> None:
    ours = [(pod, each) for pod, each in containers(kustomized(*path)) if each["image"].startswith("signalbox:")]
    assert ours
    for pod, container in ours:
        security = {**pod.get("securityContext", {}), **container["securityContext"]}
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 1000
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}


def granted(objects: list[Object], kind: str) -> set[tuple[str, str, str]]:
    """What the Roles of a kind allow: group, resource, verb."""
    return {
        (group, resource, verb)
        for each in objects
        if each["kind"] == kind and each["metadata"]["name"].startswith("llm-epp")
        for rule in each["rules"]
        if "apiGroups" in rule
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def needed() -> set[tuple[str, str, str]]:
    """What the picker follows: it lists and watches, and asks for nothing by name."""
    followed = {("", "pods"), *((kind.group, kind.plural) for kind in (*POOLS, *POLICIES))}
    return {(*each, verb) for each in followed for verb in ("list", "watch")}


def test_the_role_allows_what_the_picker_follows_and_nothing_else() -> None:
    objects = kustomized("epp")
    assert granted(objects, "Role") == needed()
    assert granted(objects, "ClusterRole") == {
        ("authentication.k8s.io", "tokenreviews", "create"),
        ("authorization.k8s.io", "subjectaccessreviews", "create"),
    }


def test_every_binding_is_to_a_role_that_is_there_and_the_pickers_account() -> None:
    objects = kustomized("overlays", "get-started")
    for kind, role in (("RoleBinding", "Role"), ("ClusterRoleBinding", "ClusterRole")):
        for binding in (each for each in objects if each["kind"] == kind):
            assert only(objects, role, binding["roleRef"]["name"])
            (subject,) = binding["subjects"]
            assert only(objects, "ServiceAccount", subject["name"])
            assert subject["namespace"] == "default"


@pytest.mark.parametrize("path", [("epp",), ("overlays", "get-started")], ids="/".join)
def test_the_picker_starts_with_its_arguments_and_finds_what_they_name(path: tuple[str, ...]) -> None:
    objects = kustomized(*path)
    deployment = only(objects, "Deployment", "llm-epp")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    command, *arguments = container["args"]
    assert command == "epp"
    options = parse(*(argument.replace("$(NAMESPACE)", "default") for argument in arguments))
    pool = only(objects, "InferencePool")
    assert options.pool_name == pool["metadata"]["name"]
    assert options.config_file == Path("/config/epp.yaml")
    assert options.drain_delay > 0, "gateways go on asking until they hear that it goes"
    assert options.drain_delay + options.drain_seconds + 15 <= pod["terminationGracePeriodSeconds"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    config_map = only(objects, "ConfigMap", volumes[mounts["/config"]]["configMap"]["name"])
    assert load_policy(config_map["data"]["epp.yaml"], name="epp.yaml").notes == ()
    assert only(objects, "Service", pool["spec"]["endpointPickerRef"]["name"])["spec"]["selector"] == {"app": "llm-epp"}
    ports = {port["containerPort"] for port in container["ports"]}
    assert {options.grpc_port, options.health_port, options.metrics_port} == ports


def test_body_based_routing_starts_with_its_arguments() -> None:
    pod = only(kustomized("bbr"), "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["livenessProbe"]["grpc"]["service"] == "liveness", "without ConfigMaps it waits, and is not killed"
    options = parse_bbr(*container["args"][1:])
    assert options.streaming
    assert options.drain_delay > 0
    assert options.drain_delay + options.drain_seconds + 15 <= pod["terminationGracePeriodSeconds"]
    assert {port["containerPort"] for port in container["ports"]} == {
        options.grpc_port, options.health_port, options.metrics_port,
    }  # fmt: skip


def test_body_based_routing_may_follow_config_maps_and_nothing_else() -> None:
    objects = kustomized("bbr")
    expected = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]}
    assert only(objects, "Role")["rules"] == [expected]
    pod = only(objects, "Deployment")["spec"]["template"]["spec"]
    assert only(objects, "RoleBinding")["subjects"][0]["name"] == pod["serviceAccountName"]


@pytest.mark.parametrize(
    "names", [names for size in (1, 2, len(COMPONENTS)) for names in combinations(COMPONENTS, size)], ids="+".join
)
def test_components_can_be_combined(names: tuple[str, ...], scratch: Path) -> None:
    check(with_components(scratch, *names))


def test_an_overlay_says_which_namespace_it_is_for_accounts_and_bindings_included(scratch: Path) -> None:
    objects = with_components(scratch, *COMPONENTS, namespace="models")
    subjects = [subject for each in objects for subject in each.get("subjects", ())]
    assert subjects
    assert {subject["namespace"] for subject in subjects} == {"models"}
    assert {each["metadata"].get("namespace") for each in objects if each["kind"] not in CLUSTER_WIDE} == {"models"}


def test_high_availability_elects_a_leader_and_may_write_its_lease_and_no_other(scratch: Path) -> None:
    objects = with_components(scratch, "high-availability")
    deployment = only(objects, "Deployment")
    assert deployment["spec"]["replicas"] > 1
    arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"][1:]
    assert parse(*arguments).leader_election
    role = only(objects, "Role", "llm-epp-election")
    assert role["rules"] == [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": [lease_name("default", "llm")],
            "verbs": ["get", "update"],
        },
    ]
    assert kinds(objects)["PodDisruptionBudget"] == 0, "of one ready pod it would never let that one go"


def test_status_and_explain_may_be_asked_with_the_pods_own_token(scratch: Path) -> None:
    objects = kustomized("epp")
    (rule,) = only(objects, "ClusterRole", "llm-epp-viewer")["rules"]
    assert rule == {"nonResourceURLs": ["/metrics", "/debug/pool", "/debug/decisions"], "verbs": ["get"]}
    (subject,) = only(objects, "ClusterRoleBinding", "llm-epp-viewer")["subjects"]
    pod = only(objects, "Deployment")["spec"]["template"]["spec"]
    assert subject["name"] == pod["serviceAccountName"]


def test_the_adapters_rules_serve_each_metric_the_autoscaler_asks_for_once_however_many_pickers(scratch: Path) -> None:
    autoscaler = only(with_components(scratch, "autoscaling"), "HorizontalPodAutoscaler")
    rules = yaml.safe_load((ROOT / "deploy/prometheus-adapter.yaml").read_text())["rules"]["external"]
    queries = {rule["seriesQuery"]: rule["metricsQuery"] for rule in rules}
    for metric in autoscaler["spec"]["metrics"]:
        (query,) = [
            query
            for series, query in queries.items()
            if re.search(re.findall(r'__name__=~?"([^"]+)"', series)[0], metric["external"]["metric"]["name"])
        ]
        assert query.startswith("max("), "every picker reports the same mean"
        assert query.endswith("by (name)")


def test_autoscaling_asks_for_metrics_that_the_picker_has(scratch: Path) -> None:
    autoscaler = only(with_components(scratch, "autoscaling"), "HorizontalPodAutoscaler")
    exposition = (ROOT / "src/signalbox/observability/exposition.py").read_text()
    for metric in autoscaler["spec"]["metrics"]:
        prefix, _, rest = metric["external"]["metric"]["name"].partition("inference_pool_")
        assert prefix == ""
        assert f'"{rest}"' in exposition


def test_the_monitor_scrapes_a_port_that_the_service_has_with_a_token_that_may_read(scratch: Path) -> None:
    objects = with_components(scratch, "monitoring")
    monitor = only(objects, "ServiceMonitor")["spec"]
    service = only(objects, "Service")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    secret = only(objects, "Secret", endpoint["authorization"]["credentials"]["name"])
    account = secret["metadata"]["annotations"]["kubernetes.io/service-account.name"]
    assert only(objects, "ServiceAccount", account)
    assert only(objects, "ClusterRole", account)["rules"] == [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]


def test_the_overlay_is_the_walk_through_with_our_images() -> None:
    objects = kustomized("overlays", "get-started")
    assert kinds(objects)["InferenceModel"] == kinds(objects)["Gateway"] == kinds(objects)["HTTPRoute"] == 1
    election = only(objects, "Role", "llm-epp-election")["rules"][1]["resourceNames"]
    assert election == [lease_name("default", only(objects, "InferencePool")["metadata"]["name"])]
    ours = only(objects, "Deployment", "vllm-llama3-8b-instruct")["spec"]["template"]["spec"]
    guides = yaml.safe_load_all((ROOT / "examples/get-started/01-gpu-deployment.yaml").read_text())
    theirs = next(each for each in guides if each["kind"] == "Deployment")["spec"]["template"]["spec"]
    (syncer,) = ours.pop("initContainers")
    (replaced,) = theirs.pop("initContainers")
    assert ours.pop("automountServiceAccountToken") is False, "nothing in it asks the API server"
    assert ours == theirs, "the servers are the guide's own"
    assert syncer["resources"]["limits"]["memory"]
    assert syncer["restartPolicy"] == "Always", "a native sidecar"
    assert (syncer["args"], syncer["env"]) == (["lora-syncer"], replaced["env"])
    assert syncer["volumeMounts"] == replaced["volumeMounts"]
