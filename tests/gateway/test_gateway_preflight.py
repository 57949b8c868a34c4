"""Mistakes are found before anything starts."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.gateway.gateway_manifests import gateway, parse

from signalbox.gateway import UpOptions, preflight, run
from signalbox.gateway.envoy import EnvoyError
from signalbox.gateway.listeners import map_ports
from signalbox.gateway.preflight import check_envoy, check_manifests, check_paths, check_ports
from signalbox.gateway.state_dir import PREFIX, remove_orphans, state_directory
from signalbox.gateway.up import UpError
from signalbox.resources import Gateway, Origin, Problem


def test_something_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(UpError, match="nothing to run") as caught:
        check_paths([], [])
    assert caught.value.status == 2
    with pytest.raises(UpError, match="gone: no such file or directory"):
        check_paths([Path("gone")], [])
    (tmp_path / ".hidden.yaml").touch()
    with pytest.raises(UpError, match="no YAML found"):
        check_paths([tmp_path], [])
    (tmp_path / "a.yml").touch()
    check_paths([tmp_path, tmp_path / "a.yml"], [])
    check_paths([], ["http://x"])


def test_manifests_must_leave_something_to_run() -> None:
    check_manifests([], empty=False)
    with pytest.raises(UpError, match="hold no InferencePool"):
        check_manifests([], empty=True)
    with pytest.raises(UpError, match="1 problem, listed above"):
        check_manifests([Problem(Origin("f"), "", "", "", "m", "x")], empty=True)


def test_a_missing_envoy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Path:
        raise EnvoyError("no envoy binary")

    check_envoy()
    monkeypatch.setattr(preflight, "find_envoy", missing)
    with pytest.raises(UpError, match="no envoy binary"):
        check_envoy()


def test_a_port_in_use_is_said_with_what_to_change() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        listeners: list[dict[str, object]] = [
            {"name": "a", "port": 80, "protocol": "HTTP"},
            {"name": "b", "port": port, "protocol": "HTTP"},
        ]
        both = [each for each in parse(gateway("g", *listeners)) if isinstance(each, Gateway)]
        with pytest.raises(UpError, match=f"port {port} of 127.0.0.1 is in use; choose another with --port"):
            check_ports(map_ports(both, port), "127.0.0.1")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            first = free.getsockname()[1]
        with pytest.raises(UpError, match=f"change the Gateway's listener port {port}"):
            check_ports(map_ports(both, first), "127.0.0.1")
    check_ports(map_ports(both, first), "127.0.0.1")


def test_an_address_of_another_machine_is_said() -> None:
    listener: dict[str, object] = {"name": "a", "port": 80, "protocol": "HTTP"}
    gateways = [each for each in parse(gateway("g", listener)) if isinstance(each, Gateway)]
    with pytest.raises(UpError, match="choose an address of this machine"):
        check_ports(map_ports(gateways, 8080), "192.0.2.1")


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (UpOptions(), 2, "nothing to run"),
        (UpOptions(paths=(Path("/no/such"),)), 2, "/no/such: no such file"),
        (UpOptions(servers=("https://x",)), 2, "upstream TLS is not supported yet"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_a_status(
    options: UpOptions, status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(options) == status
    captured = capsys.readouterr()
    assert captured.err.startswith("signalbox up: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_problems_that_leave_nothing_are_all_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text("apiVersion: apps/v1\nkind: Deploymint\nmetadata: {name: x}\n")
    (tmp_path / "b.yaml").write_text("kind: [\n")
    assert run(UpOptions(paths=(tmp_path,))) == 1
    captured = capsys.readouterr()
    assert "did you mean 'Deployment'?" in captured.out
    assert "b.yaml" in captured.out
    assert "stays in force" not in captured.out, "there is no last good state yet"
    assert "2 problems, listed above" in captured.err


def test_a_temporary_state_directory_goes_and_a_named_one_stays(tmp_path: Path) -> None:
    with state_directory(None) as directory:
        assert directory.is_dir()
    assert not directory.exists()
    kept = tmp_path / "state"
    (kept / "pods" / "old").mkdir(parents=True)
    with state_directory(kept) as directory:
        assert list(directory.iterdir()) == []
    assert kept.is_dir()


def test_directories_of_runs_that_were_killed_are_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
    ended.wait()
    for name in (f"{PREFIX}{ended.pid}-x", f"{PREFIX}{os.getpid()}-x", f"{PREFIX}other", "unrelated"):
        (tmp_path / name).mkdir()
    remove_orphans(tmp_path)
    assert {entry.name for entry in tmp_path.iterdir()} == {f"{PREFIX}{os.getpid()}-x", f"{PREFIX}other", "unrelated"}


@pytest.mark.parametrize(("content", "said"), [("{", "is not valid YAML"), (None, "cannot be read: No such file")])
def test_a_configuration_on_the_command_line_must_be_good_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, said: str
) -> None:
    file = tmp_path / "epp.yaml"
    if content is not None:
        file.write_text(content)
    assert run(UpOptions(servers=("http://127.0.0.1:1",), config_file=file)) == 2
    captured = capsys.readouterr()
    assert said in captured.out
    assert captured.err == f"signalbox up: --config-file {file}: 1 problem, listed above\n"
