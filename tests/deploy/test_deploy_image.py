"""The Dockerfile, read: nobody here needs a Docker daemon to see that it keeps its promises."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from tests.deploy.rendered import ROOT

from signalbox.cli.registered import Registered, registered

TARGETS = ("epp", "bbr", "lora-syncer", "signalbox")
STAGE = re.compile(r"^FROM ", re.MULTILINE)


@pytest.fixture(scope="module")
def stages() -> dict[str, list[str]]:
    """The instructions of each stage by its name, continued lines joined, comments left out."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    found = {}
    for stage in STAGE.split(re.sub(r"\\\n\s*", " ", text))[1:]:
        first, *lines = [line for line in stage.splitlines() if line.strip()]
        base, _, name = first.partition(" AS ")
        found[name] = [f"FROM {base}", *lines]
    return found


def test_it_runs_as_a_user_that_is_a_number_and_not_root(stages: dict[str, list[str]]) -> None:
    assert re.fullmatch(r"USER [1-9]\d{3,}:[1-9]\d{3,}", stages["runtime"][-1])
    later = [line for name in TARGETS for line in stages[name][1:]]
    assert all(line.startswith(("ENTRYPOINT", "CMD")) for line in later), "nothing changes the user or the files"


def test_the_image_only_copies(stages: dict[str, list[str]]) -> None:
    lines = stages["runtime"]
    assert not any(line.startswith(("RUN", "ADD")) for line in lines), "no compiler, no package manager"
    assert [line.split()[0:2] for line in lines if line.startswith("COPY")] == [["COPY", "--from=build"]]


@pytest.mark.parametrize("command", ["epp", "bbr", "lora-syncer"])
def test_each_image_of_the_reference_has_one_that_takes_the_same_arguments(
    stages: dict[str, list[str]], command: str
) -> None:
    assert stages[command] == ["FROM runtime", f'ENTRYPOINT ["signalbox", "{command}"]']


def test_the_last_stage_is_the_command_that_the_package_installs(stages: dict[str, list[str]]) -> None:
    assert list(stages)[-1] == "signalbox"
    assert 'ENTRYPOINT ["signalbox"]' in stages["signalbox"]
    assert 'signalbox = "signalbox.cli.main:main"' in (ROOT / "pyproject.toml").read_text()


def test_dependencies_are_wheels_in_the_versions_of_the_constraints(stages: dict[str, list[str]]) -> None:
    installs = [
        part for stage in stages.values() for line in stage for part in line.split("&&") if "pip install" in part
    ]
    assert installs
    for install in installs:
        assert "--only-binary :all:" in install
        assert re.search(r" -c (/wheels/)?constraints\.txt ", install)
    assert not re.search(r"apt-get|gcc|build-essential", "\n".join(map("\n".join, stages.values())))


def test_what_builds_the_package_is_pinned_too() -> None:
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert {"hatchling", "trove-classifiers", "pathspec", "pluggy"} <= pinned
    assert {"mypy", "mypy_extensions", "librt", "setuptools"} <= pinned, "so is what compiles its modules"


def test_the_modules_are_compiled_where_a_compiler_is_and_only_the_wheel_leaves_that_stage(
    stages: dict[str, list[str]],
) -> None:
    lines = stages["wheel"]
    assert lines[0] == "FROM ${COMPILER_IMAGE}"
    assert any("HATCH_BUILD_HOOK_ENABLE_CUSTOM=true /opt/build/bin/pip wheel --no-deps" in line for line in lines)
    copied = [line for stage in stages.values() for line in stage if "--from=wheel" in line]
    assert copied == ["COPY --from=wheel /src/constraints.txt /wheels/ /wheels/"]
    assert [line for line in stages["build"] if line.startswith("COPY")] == copied


def test_both_stages_are_of_one_base_so_that_the_copied_environment_fits(stages: dict[str, list[str]]) -> None:
    assert stages["build"][0] == stages["runtime"][0] == "FROM ${PYTHON_IMAGE}"


def test_the_base_is_a_slim_image_or_one_that_is_named_by_its_digest() -> None:
    arguments = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("ARG ")]
    assert arguments[:3] == [
        "ARG PYTHON_VERSION=3.11",
        "ARG PYTHON_IMAGE=python:${PYTHON_VERSION}-slim-bookworm",
        "ARG COMPILER_IMAGE=python:${PYTHON_VERSION}-bookworm",  # the same Python, Debian and libc
    ]


def test_only_what_the_build_copies_is_sent_to_it(stages: dict[str, list[str]]) -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    copied = {name.rstrip("/").removeprefix("./") for line in stages["wheel"] if line.startswith("COPY")
              for name in line.split()[1:-1]}  # fmt: skip
    assert ignored[0] == "*"
    assert allowed == copied
    assert all((ROOT / name).exists() for name in copied)


def test_a_picker_runs_where_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    with registered(Registered("default/pool", "http://127.0.0.1:9090")):
        pass
