"""CI finds helm, or builds it once with go, or says that it has none; go and helm are stand-ins here."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.deploy.rendered import ROOT

INSTALL = 'echo "$@" >>"$GOBIN/asked"; printf "#!/bin/sh\\n" >"$GOBIN/helm"; chmod +x "$GOBIN/helm"'


class Machine:
    """A machine with a home of its own and no programs but bash's own, some of coreutils and what a test puts there."""

    def __init__(self, directory: Path) -> None:
        self.programs = directory / "bin"
        self.programs.mkdir()
        for name in ("bash", "sh", "env", "mkdir", "timeout", "chmod", "sleep"):
            found = shutil.which(name)
            assert found is not None, name
            (self.programs / name).symlink_to(found)
        self.environment = {"PATH": str(self.programs), "HOME": str(directory)}
        self.built = directory / ".cache" / "signalbox" / "helm-v3.16.4"

    def has(self, name: str, script: str) -> Path:
        """A program of this name."""
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def run(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """``.ci/helm``."""
        return subprocess.run(
            [str(ROOT / ".ci" / "helm")],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_helm_that_is_there_is_used(machine: Machine, tmp_path: Path) -> None:
    named = machine.has("another-helm", "")
    assert machine.run(HELM=str(named)).stdout == f"{named}\n"
    installed = machine.has("helm", "")
    assert machine.run().stdout == f"{installed}\n"
    assert not machine.built.exists()


def test_go_builds_it_once_outside_the_repository(machine: Machine) -> None:
    machine.has("go", INSTALL)
    first = machine.run()
    assert (first.returncode, first.stdout) == (0, f"{machine.built / 'helm'}\n"), first.stderr
    assert "building helm v3.16.4" in first.stderr
    assert machine.run().stdout == first.stdout
    assert (machine.built / "asked").read_text() == "install helm.sh/helm/v3/cmd/helm@v3.16.4\n"
    assert ROOT not in machine.built.parents


@pytest.mark.parametrize(
    ("go", "environment", "reason"),
    [
        (None, {}, "no go to build it with"),
        ("exit 1", {}, "go install failed"),
        ("sleep 60", {"HELM_SECONDS": "1"}, "took longer than 1 s"),
        (INSTALL, {"HELM": "/nonexistent/helm"}, "HELM=/nonexistent/helm is no program"),
    ],
)
def test_without_one_it_says_why_and_what_is_skipped(
    machine: Machine, go: str | None, environment: dict[str, str], reason: str
) -> None:
    if go is not None:
        machine.has("go", go)
    result = machine.run(**environment)
    assert (result.returncode, result.stdout) == (1, "")
    assert reason in result.stderr
    assert "the tests that render deploy/helm are skipped" in result.stderr


@pytest.mark.parametrize(("status", "expected"), [(0, "/there/helm"), (1, "none")])
def test_ci_goes_on_with_the_helm_that_was_found_and_without_any(tmp_path: Path, status: int, expected: str) -> None:
    clone = tmp_path / "clone"
    (clone / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", clone / ".ci" / "run")
    finder = clone / ".ci" / "helm"
    finder.write_text(f"#!/bin/sh\n[ {status} = 0 ] && echo /there/helm\nexit {status}\n")
    finder.chmod(0o755)
    (clone / "make").write_text('#!/bin/sh\necho "make $1 with ${HELM:-none}"\n')
    (clone / "make").chmod(0o755)
    environment = {key: value for key, value in os.environ.items() if key != "HELM"}
    environment["PATH"] = f"{clone}:{environment['PATH']}"
    result = subprocess.run(
        [str(clone / ".ci" / "run")], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    steps = [line for line in result.stdout.splitlines() if line.startswith("make ")]
    assert steps == [f"make {step} with {expected}" for step in ("check", "test", "test-compiled", "test-kubernetes")]


def test_the_version_is_the_one_the_tests_name() -> None:
    version = next(line for line in (ROOT / ".ci" / "helm").read_text().splitlines() if line.startswith("version="))
    assert f"helm@{version.removeprefix('version=')}" in (ROOT / "docs" / "deploy.md").read_text()
    assert f"helm@{version.removeprefix('version=')}" in (ROOT / "tests" / "deploy" / "rendered.py").read_text()
