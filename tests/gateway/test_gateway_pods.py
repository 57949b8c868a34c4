"""What a Deployment comes to on this machine."""

from pathlib import Path

import pytest
from tests.gateway.gateway_manifests import MODEL, PICKER, POOL, ROUTE, SERVER, gateway, one, parse

from signalbox.gateway.addresses import Lease
from signalbox.gateway.desired import Desired, routing_gaps, sort_out
from signalbox.gateway.picker_deployment import PickerSettings
from signalbox.gateway.pod_commands import config_names, syncer_command
from signalbox.gateway.podspec import ConfigMapVolume, Mount, local_path
from signalbox.gateway.probes import Method, Probe, Timing
from signalbox.resources import ConfigMap


def joined(*texts: str) -> Desired:
    return sort_out(parse("\n---\n".join(texts)))


def test_a_vllm_deployment_becomes_pods_with_the_servers_own_arguments() -> None:
    (workload,) = joined(SERVER).workloads.servers
    template = workload.template
    assert workload.replicas == 2
    assert template.labels == {"app": "vllm"}
    assert template.arguments == ("--model", "m")
    assert template.model == "m"
    assert template.port == 8000
    assert template.grace == 7.0


def test_the_environment_is_passed_on_except_what_would_break_a_local_process_or_is_not_known() -> None:
    (workload,) = joined(SERVER).workloads.servers
    assert workload.template.environment == {"MODEL": "m", "VLLM_X": "1", "SPACE": "default"}


def test_probes_keep_their_timing_and_commands_are_not_run() -> None:
    desired = joined(SERVER)
    (workload,) = desired.workloads.servers
    probes = workload.template.probes
    assert probes.readiness == Probe(Method.HTTP, 8000, Timing(period=1.0), "/health")
    assert probes.readiness is not None
    assert probes.readiness.place == "spec.template.spec.containers[0].readinessProbe"
    assert probes.liveness is None
    assert any("livenessProbe of container 'vllm' is not run" in note for note in desired.notes)


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        ("{tcpSocket: {port: http}}", Probe(Method.TCP, 8000)),
        ("{grpc: {port: 9003}}", Probe(Method.TCP, 9003)),
        (
            "{httpGet: {port: '81', scheme: HTTPS, httpHeaders: [{name: A, value: b}]}, failureThreshold: 9}",
            Probe(Method.HTTP, 81, Timing(failure_threshold=9), "/", (("A", "b"),), "https"),
        ),
        ("{httpGet: {port: nosuch}}", None),
    ],
)
def test_each_kind_of_probe_is_read(probe: str, expected: Probe | None) -> None:
    text = SERVER.replace("{httpGet: {path: /health, port: http}, periodSeconds: 1}", probe)
    (workload,) = joined(text).workloads.servers
    assert workload.template.probes.readiness == expected
    assert (workload.template.probes.startup is None) == (expected is not None), "else it is ready when it listens"


def test_a_container_with_the_syncers_variable_becomes_a_syncer_of_each_pod() -> None:
    (workload,) = joined(SERVER).workloads.servers
    (syncer,) = workload.template.syncers
    assert (syncer.name, syncer.config) == ("syncer", "/config/configmap.yaml")
    assert syncer.mounts == (Mount("/config", "adapters"),)
    assert workload.template.volumes == (ConfigMapVolume("adapters", "adapters"),)


@pytest.mark.parametrize(
    ("fields", "flags", "config", "port", "once"),
    [
        ("", (), "/config/configmap.yaml", 8080, False),
        ("command: [python, sidecar.py]", (), "/config/configmap.yaml", 8080, False),
        ("args: [--metrics-port, '9100', --once]", ("--metrics-port", "9100", "--once"), None, 9100, True),
        ("command: [python, sidecar.py]\nargs: [--config=/other/x.yaml]", ("--config=/other/x.yaml",), "/other/x.yaml",
         8080, False),
        ("args: [--metrics-port, '0']", ("--metrics-port", "0"), None, 0, False),
    ],
)  # fmt: skip
def test_a_syncer_keeps_the_flags_of_its_container(
    fields: str, flags: tuple[str, ...], config: str | None, port: int, once: bool
) -> None:
    lines = "".join(f"        {line}\n" for line in fields.splitlines())
    (workload,) = joined(SERVER.replace("- name: syncer\n", f"- name: syncer\n{lines}")).workloads.servers
    (syncer,) = workload.template.syncers
    assert syncer.arguments == flags
    assert syncer.config == (config or "/config/configmap.yaml")
    assert (syncer.metrics_port, syncer.once) == (port, once)


def test_a_syncers_command_has_its_flags_first_and_then_what_is_different_here() -> None:
    text = SERVER.replace("- name: syncer\n", "- name: syncer\n        args: [--reconcile-trigger, '1']\n")
    (workload,) = joined(text).workloads.servers
    (syncer,) = workload.template.syncers
    command = syncer_command("pod", syncer, workload.template, Lease("127.0.1.7", {8000: 8000}, (8080,)), Path("v"))
    assert command.name == "pod-syncer"
    assert command.argv[3:] == (
        *("lora-syncer", "--reconcile-trigger", "1", "--config", "v/adapters/configmap.yaml"),
        *("--connect-to", "localhost:8000=127.0.1.7:8000"),
        *("--metrics-host", "127.0.1.7", "--metrics-port", "8080"),
    )
    names = config_names(syncer, workload.template, Path("v"))
    assert names == {"v/adapters/configmap.yaml": "ConfigMap adapters configmap.yaml"}


def test_only_a_change_of_the_template_changes_the_revision() -> None:
    (before,) = joined(SERVER).workloads.servers
    (scaled,) = joined(SERVER.replace("replicas: 2", "replicas: 3")).workloads.servers
    (changed,) = joined(SERVER.replace("value: m}", "value: n}")).workloads.servers
    assert before.template.revision == scaled.template.revision != changed.template.revision


def test_the_pools_own_picker_is_replaced_and_its_thresholds_are_passed_on() -> None:
    desired = joined(POOL, PICKER)
    (pool,) = desired.pools
    assert desired.workloads.servers == ()
    assert desired.workloads.pickers == {pool.key: PickerSettings({"KV_CACHE_THRESHOLD": "0.7"})}
    assert "Deployment default/chooser: replaced by signalbox's own picker" in desired.notes


def test_a_picker_is_told_by_its_image_too_and_anything_else_is_not_run() -> None:
    image = PICKER.replace("name: picker", "name: other").replace("example.org/anything", "example.org/epp:main")
    assert "Deployment default/chooser: replaced by signalbox's own picker" in joined(POOL, image).notes
    assert "Deployment default/chooser: not a vLLM server: not run here" in joined(PICKER).notes


@pytest.mark.parametrize("container", ["image: example.org/bbr:main", "image: signalbox:1, args: [bbr, --streaming]"])
def test_a_deployment_of_body_based_routing_is_replaced_by_ours(container: str) -> None:
    text = PICKER.replace("name: picker", "name: other").replace("      - name: c\n", "")
    text = text[: text.index("        image:")] + f"      - {{name: c, {container}}}\n"
    (note,) = joined(POOL, text).notes
    assert note.startswith("Deployment default/chooser: replaced by signalbox's own body-based routing")


def test_given_servers_take_the_place_of_simulated_ones() -> None:
    desired = sort_out(parse(SERVER), servers_given=True)
    assert desired.workloads.servers == ()
    assert any("servers given with --server take its place" in note for note in desired.notes)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/config/configmap.yaml", "v/adapters/configmap.yaml"),
        ("/config/deep/a", "v/other/a"),
        ("/config/file", "v/other/part"),
        ("/configuration/x", None),
    ],
)
def test_paths_inside_a_container_lead_to_its_volumes(path: str, expected: str | None) -> None:
    mounts = (Mount("/config", "adapters"), Mount("/config/deep/", "other"), Mount("/config/file", "other", "part"))
    assert local_path(path, mounts, Path("v")) == (Path(expected) if expected else None)


def test_a_config_map_volume_holds_the_keys_asked_for() -> None:
    config_map = one(
        ConfigMap, "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: x}, binaryData: {b: eQ==}}"
    )
    assert ConfigMapVolume("v", "c").files(config_map) == {"a": b"x", "b": b"y"}
    assert ConfigMapVolume("v", "c", (("a", "dir/a"),)).files(config_map) == {"dir/a": b"x"}
    assert ConfigMapVolume("v", "c", (("z", "z"),)).files(config_map) is None
    assert ConfigMapVolume("v", "c").files(None) is None
    assert ConfigMapVolume("v", "c", optional=True).files(None) == {}


def test_what_leads_nowhere_is_told() -> None:
    listener: dict[str, object] = {"name": "l", "port": 80, "protocol": "HTTP"}
    assert routing_gaps(joined(POOL, ROUTE, gateway("gateway", listener))) == ()
    assert [gap.split(":")[0] for gap in routing_gaps(joined(POOL))] == ["no Gateway", "no HTTPRoute"]
    elsewhere = ROUTE.replace("name: pool", "name: elsewhere")
    assert "InferencePool default/pool: no HTTPRoute leads to it" in routing_gaps(joined(POOL, elsewhere))


def test_a_pool_whose_port_no_server_listens_on_is_told() -> None:
    other = POOL.replace("number: 8000", "number: 9000")
    assert [gap for gap in routing_gaps(joined(POOL, SERVER)) if "target port" in gap] == []
    (told,) = [gap for gap in routing_gaps(joined(other, SERVER)) if "target port" in gap]
    assert told.startswith("InferencePool default/pool: its target port is 9000 but Deployment default/")
    assert "listens on 8000" in told


def test_policies_belong_to_the_pool_they_name_in_its_namespace() -> None:
    other = MODEL.replace("{name: food}", "{name: food, namespace: other}")
    desired = joined(POOL, MODEL, other)
    (pool,) = desired.pools
    assert [model.metadata.namespace for model in desired.models_of(pool)] == ["default"]
