"""``signalbox crds``: which definitions are printed."""

from __future__ import annotations

import pytest
import yaml
from typer.testing import CliRunner

from signalbox.cli.crds import Selection, Unavailable, knows_cel
from signalbox.cli.main import app


def names(*arguments: str) -> list[str]:
    result = CliRunner().invoke(app, ["crds", *arguments])
    assert result.exit_code == 0, result.output
    return [document["metadata"]["name"] for document in yaml.safe_load_all(result.stdout)]


STABLE, EXPERIMENTAL = "inference.networking.k8s.io", "inference.networking.x-k8s.io"


def test_all_definitions_but_those_of_llm_d_are_printed() -> None:
    assert names() == [
        f"inferencepools.{STABLE}",
        f"inferencepools.{EXPERIMENTAL}",
        f"inferencemodels.{EXPERIMENTAL}",
        f"inferenceobjectives.{EXPERIMENTAL}",
        f"inferencemodelrewrites.{EXPERIMENTAL}",
        f"inferencepoolimports.{EXPERIMENTAL}",
    ]


CHOICES = [
    (["--kind", "InferencePool"], [f"inferencepools.{STABLE}", f"inferencepools.{EXPERIMENTAL}"]),
    (["--kind", "inferencepool", "--version", "v1"], [f"inferencepools.{STABLE}"]),
    (["--kind", "xinfpool"], [f"inferencepools.{EXPERIMENTAL}"]),
    (["--kind", "inferencemodels"], [f"inferencemodels.{EXPERIMENTAL}"]),
    (["--version", "v1alpha1"], [f"inferencepoolimports.{EXPERIMENTAL}"]),
    (["--group", STABLE], [f"inferencepools.{STABLE}"]),
    (["--group", "llm-d.ai"], ["inferenceobjectives.llm-d.ai", "inferencemodelrewrites.llm-d.ai"]),
]


@pytest.mark.parametrize(("arguments", "printed"), CHOICES, ids=[" ".join(arguments) for arguments, _ in CHOICES])
def test_kinds_versions_and_groups_can_be_chosen(arguments: list[str], printed: list[str]) -> None:
    assert names(*arguments) == printed


def test_what_there_is_not_is_refused_with_what_there_is() -> None:
    result = CliRunner().invoke(app, ["crds", "--kind", "InferenceModel", "--version", "v1"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("no definition fits --kind InferenceModel --version v1; there is InferencePool ")


@pytest.mark.parametrize("arguments", [[], ["--for-kubernetes", "1.25"], ["--for-kubernetes", "v1.31.2"]])
def test_rules_are_written_in_cel(arguments: list[str]) -> None:
    printed = CliRunner().invoke(app, ["crds", *arguments]).stdout
    assert printed.count("x-kubernetes-validations") == 4
    assert "default: ''" in printed


@pytest.mark.parametrize("arguments", [["--without-cel"], ["--for-kubernetes", "1.20"], ["--for-kubernetes", "1.24.9"]])
def test_older_servers_get_no_cel(arguments: list[str]) -> None:
    printed = CliRunner().invoke(app, ["crds", *arguments]).stdout
    assert "x-kubernetes-validations" not in printed
    assert "default: ''" not in printed


@pytest.mark.parametrize(
    ("release", "said"),
    [
        ("1.15", "CustomResourceDefinition v1 came with Kubernetes 1.16"),
        ("new", "is not a release; write it like 1.20"),
    ],
)
def test_releases_that_cannot_be_served_are_refused(release: str, said: str) -> None:
    with pytest.raises(Unavailable, match=said):
        knows_cel(release)
    result = CliRunner().invoke(app, ["crds", "--for-kubernetes", release])
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_release_may_have_a_suffix() -> None:
    assert knows_cel("v1.29.3-gke.100")
    assert not knows_cel("1.20.2+really")


def test_an_empty_selection_is_no_error_by_itself() -> None:
    assert len(Selection().chosen()) == 6
