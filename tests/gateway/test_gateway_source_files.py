"""What pickers read, and what the proxy is told."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from tests.gateway.gateway_manifests import MODEL, PICKER, POOL, one, parse

from signalbox.gateway.addresses import Lease
from signalbox.gateway.backends import pool_backends, service_backends
from signalbox.gateway.desired import Desired
from signalbox.gateway.envoy import PoolBackend, ServiceBackend
from signalbox.gateway.local_picker import picker_command
from signalbox.gateway.members import Member, Phase
from signalbox.gateway.source_files import OBJECTS_FILE, PODS_FILE, write_objects, write_pods
from signalbox.observability.refusals import Refusals
from signalbox.resources import FailureMode, InferenceModel, InferencePool, Key, Origin, Pod, Problem, Service
from signalbox.sources import ManifestReader


def member(name: str, phase: Phase = Phase.READY, host: str = "127.0.1.1", app: str = "vllm") -> Member:
    return Member("default", name, {"app": app}, host, 8000, phase)


def test_what_is_written_reads_back_as_the_same_objects(tmp_path: Path) -> None:
    pool, model = parse(f"{POOL}---{MODEL}")
    assert isinstance(pool, InferencePool)
    assert write_objects(tmp_path / "p", pool, [model])
    manifests = ManifestReader([tmp_path / "p"]).read()
    assert manifests.problems == ()
    assert manifests.resources == (pool, model)


def test_a_file_is_written_only_when_it_changes_and_nothing_else_appears(tmp_path: Path) -> None:
    directory = tmp_path / "p"
    pool = one(InferencePool, POOL)
    write_objects(directory, pool, [])
    stamp = (directory / OBJECTS_FILE).stat().st_ino
    assert not write_objects(directory, pool, [])
    assert (directory / OBJECTS_FILE).stat().st_ino == stamp
    assert write_objects(directory, pool, [one(InferenceModel, MODEL)])
    assert (directory / OBJECTS_FILE).stat().st_ino != stamp, "replaced by a rename, never half written"
    assert [entry.name for entry in directory.iterdir()] == [OBJECTS_FILE]


def test_pods_are_ready_for_a_picker_only_when_the_proxy_knows_them(tmp_path: Path) -> None:
    known, new = member("known"), member("new", host="127.0.1.2")
    starting, leaving = member("starting", Phase.STARTING), member("leaving", Phase.DRAINING)
    everyone = [known, new, starting, leaving]
    write_pods(tmp_path, everyone, {each.identity for each in everyone if each is not new})
    manifests = ManifestReader([tmp_path / PODS_FILE]).read()
    assert manifests.problems == ()
    pods = {pod.metadata.name: pod for pod in manifests.resources if isinstance(pod, Pod)}
    assert {name: (pod.ready, pod.terminating) for name, pod in pods.items()} == {
        "known": (True, False),
        "new": (False, False),
        "starting": (False, False),
        "leaving": (False, True),
    }
    assert pods["known"].status.pod_ip == "127.0.1.1"
    assert pods["known"].metadata.labels == {"app": "vllm"}


def test_a_pool_leads_to_its_ready_pods_and_its_picker() -> None:
    pool = one(InferencePool, POOL)
    everyone = [member("a"), member("b", Phase.NOT_READY), member("c", Phase.DRAINING), member("d", app="other")]
    assert pool_backends([pool], everyone, {pool.key: "127.0.2.1:9002"}) == (
        PoolBackend("default", "pool", ("127.0.1.1:8000",), "127.0.2.1:9002", FailureMode.FAIL_OPEN),
    )
    assert pool_backends([pool], everyone, {}) == ()


def test_a_service_leads_to_the_ready_pods_it_selects() -> None:
    (service,) = [each for each in parse(PICKER) if isinstance(each, Service)]
    everyone = [member("a", app="chooser"), member("b"), member("c", Phase.STARTING, app="chooser")]
    assert service_backends([service], everyone) == (ServiceBackend("default", "picker", 9002, ("127.0.1.1:8000",)),)


def test_ipv6_addresses_are_in_brackets() -> None:
    assert member("a", host="::1").address == "[::1]:8000"


def test_the_pickers_limits_fit_the_body_limit(tmp_path: Path) -> None:
    lease = Lease("127.0.2.1", {9002: 9002, 9003: 9003, 9090: 9090}, ())
    for mebibytes, buffered in ((1, "256"), (32, "256"), (256, "512")):
        argv = picker_command(Key("InferencePool", "default", "p"), tmp_path, lease, {}, mebibytes * 1024 * 1024).argv
        flags = dict(pairwise(argv))
        assert (flags["--body-limit"], flags["--max-buffered-mib"]) == (str(mebibytes), buffered)


def test_a_configuration_is_passed_on_as_a_file(tmp_path: Path) -> None:
    lease = Lease("127.0.2.1", {9002: 9002, 9003: 9003, 9090: 9090}, ())
    pool = Key("InferencePool", "default", "p")
    assert "--config-file" not in picker_command(pool, tmp_path, lease, {}, 1).argv
    flags = dict(pairwise(picker_command(pool, tmp_path, lease, {}, 1, tmp_path / "c.yaml").argv))
    assert flags["--config-file"] == str(tmp_path / "c.yaml")


def test_a_picker_is_told_what_was_refused_of_the_kinds_it_reads() -> None:
    pool, model, gateway = (
        Problem(Origin(f"{kind}.yaml", 1, 2), kind, "x", "spec", "is wrong", "mend it")
        for kind in ("", "InferenceModel", "Gateway")
    )
    mine = one(InferencePool, POOL)
    desired = Desired(pools=(mine,), refused=(pool, model, gateway), refused_configurations={mine.key: (gateway,)})
    assert desired.refusals_of(mine) == Refusals((str(pool), str(model)), (str(gateway),))
    assert replace(desired, refused_configurations={}).refusals_of(mine).configuration == ()
