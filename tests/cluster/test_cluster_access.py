"""Finding the API server: in which order, and what is said where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from tests.cluster.fake_api import kubeconfig
from tests.wire.authority import Authority

from signalbox.cluster import Access, Api, NoAccess, find_access
from signalbox.cluster import access as module

IN_CLUSTER = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture(autouse=True)
def no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "HOME_KUBECONFIG", tmp_path / "home" / "config")


@pytest.fixture
def account(tmp_path: Path) -> Path:
    """A mounted service account."""
    directory = tmp_path / "account"
    directory.mkdir()
    (directory / "token").write_text("t")
    (directory / "namespace").write_text("default")
    return directory


def test_the_flag_comes_first_then_the_variable_then_the_pod_then_home(tmp_path: Path, account: Path) -> None:
    flag, variable = kubeconfig(tmp_path / "flag", "http://f"), kubeconfig(tmp_path / "variable", "http://v")
    environment = IN_CLUSTER | {"KUBECONFIG": str(variable)}
    assert str(find_access(flag, environment, account)) == f"kubeconfig {flag}"
    assert str(find_access(None, environment, account)) == f"kubeconfig {variable}"
    assert str(find_access(None, IN_CLUSTER, account)) == "the pod's service account"
    home = tmp_path / "home" / "config"
    home.parent.mkdir()
    kubeconfig(home, "http://h")
    assert str(find_access(None, {}, account)) == f"kubeconfig {home}"


@pytest.mark.parametrize(
    ("flag", "environment", "said"),
    [
        ("missing", {}, "--kubeconfig .*missing: no such file"),
        (None, {"KUBECONFIG": "/nowhere/config"}, "KUBECONFIG /nowhere/config: no such file"),
        (None, {"KUBECONFIG": "/a:/b"}, "several files are not merged here; name one"),
        (None, {}, "no cluster: .* give --kubeconfig FILE"),
        (None, IN_CLUSTER, "set automountServiceAccountToken: true"),
    ],
)
def test_where_there_is_none_it_says_what_to_do(
    tmp_path: Path, flag: str | None, environment: dict[str, str], said: str
) -> None:
    with pytest.raises(NoAccess, match=said):
        find_access(tmp_path / flag if flag else None, environment, tmp_path / "no-account")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "config: .*; correct it"),
        ("clusters: []\ncontexts: []\n", "No current context"),
        (yaml.safe_dump({"current-context": "x", "clusters": [], "contexts": []}), "Context 'x' not found"),
        ("contexts: []\n", "'clusters' is missing"),
        ("[]", "config: .*; correct it"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(NoAccess, match=said):
        Api(Access(path))


def test_a_ca_that_is_none_is_named(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", "https://127.0.0.1:1", token="t")
    document = yaml.safe_load(path.read_text())
    document["clusters"][0]["cluster"]["certificate-authority"] = "ca.crt"
    path.write_text(json.dumps(document))
    with pytest.raises(NoAccess, match=r"config: .*No such file"):
        Api(Access(path))
    (tmp_path / "ca.crt").write_text("not a certificate")
    with pytest.raises(NoAccess, match="config: "):
        Api(Access(path))


async def test_a_pods_service_account_is_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, account: Path) -> None:
    Authority().file(account / "ca.crt")
    for name, value in IN_CLUSTER.items():
        monkeypatch.setenv(name, value)
    client = Access(None, account).connect(1.0)
    assert str(client.base_url) == "https://10.0.0.1"
    await client.aclose()
