"""``signalbox epp`` without ``--source``: what it needs of a cluster, and what it says where that is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.pickers import parse, write_source
from tests.cluster.fake_api import kubeconfig

from signalbox.cli.epp import refuse_cluster_flags, run
from signalbox.cli.epp_cluster import reach_cluster
from signalbox.cli.usage import UsageError
from signalbox.cluster import access as access_module


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(access_module, "HOME_KUBECONFIG", tmp_path / "no-home")
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "NAMESPACE"):
        monkeypatch.delenv(name, raising=False)


def test_a_pool_has_to_be_named() -> None:
    with pytest.raises(UsageError, match="--pool-name NAME is missing: the InferencePool in the cluster"):
        reach_cluster(parse(), {})


def test_without_a_cluster_it_names_both_ways_out() -> None:
    with pytest.raises(UsageError, match="give --kubeconfig FILE; or give --source DIR"):
        reach_cluster(parse("--pool-name", "p"), {})


def test_a_group_that_pools_do_not_have_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--pool-group x: use inference.networking.k8s.io or inference.networking.x-"):
        reach_cluster(parse("--pool-name", "p", "--pool-group", "x"), {})


def test_a_kubeconfig_is_taken_from_the_flag_or_the_environment(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", "http://127.0.0.1:1", token="t")
    assert str(path) in str(reach_cluster(parse("--pool-name", "p", "--kubeconfig", str(path)), {}))
    assert str(path) in str(reach_cluster(parse("--pool-name", "p"), {"KUBECONFIG": str(path)}))


@pytest.mark.parametrize(
    "flags",
    [
        ("--kubeconfig", "x"),
        ("--pool-group", "inference.networking.k8s.io"),
        ("--ha-enable-leader-election",),
        ("--metrics-endpoint-auth",),
    ],
)
def test_what_only_a_cluster_can_do_is_refused_with_files(flags: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=f"{flags[0]} is for a picker that follows an API server"):
        refuse_cluster_flags(parse("--source", "x", *flags))


def test_open_metrics_may_be_said_with_files_too() -> None:
    refuse_cluster_flags(parse("--source", "x", "--metrics-endpoint-auth=false"))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "--pool-name NAME is missing"),
        (("--pool-name", "p"), "no cluster: this is no pod"),
        (("--pool-name", "p", "--kubeconfig", "/nowhere"), "--kubeconfig /nowhere: no such file"),
    ],
)
def test_it_ends_with_2_and_a_sentence(flags: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(parse(*flags)) == 2
    assert said in capsys.readouterr().err


def test_a_kubeconfig_that_is_broken_ends_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config"
    path.write_text("current-context: [")
    assert run(parse("--pool-name", "p", "--kubeconfig", str(path))) == 2
    assert f"signalbox epp: kubeconfig {path}: " in capsys.readouterr().err


def test_a_flag_of_a_cluster_beside_files_ends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_source(tmp_path / "source")
    assert run(parse("--source", str(source), "--ha-enable-leader-election")) == 2
    assert "drop it, or --source" in capsys.readouterr().err


def test_a_picker_of_files_does_not_load_what_an_api_server_takes() -> None:
    program = "import sys, signalbox.cli.epp; print([name for name in sys.modules if 'lightkube' in name])"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n"
