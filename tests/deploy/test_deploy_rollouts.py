"""A picker's Deployment can be updated, with and without leader election."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.deploy.rendered import KUSTOMIZE, kustomized, only, templated
from tests.deploy.rollouts import ends


def deployment(replicas: int, **strategy: Any) -> dict[str, Any]:
    return {"spec": {"replicas": replicas, "strategy": {"rollingUpdate": strategy} if strategy else {}}}


@pytest.mark.parametrize("replicas", [1, 2, 3, 4, 5, 10])
def test_kubernetes_defaults_suit_pods_that_are_all_ready(replicas: int) -> None:
    assert ends(deployment(replicas), elects=False)


@pytest.mark.parametrize("replicas", [2, 3, 4, 5, 10])
def test_kubernetes_defaults_wait_for_ever_where_one_leads_and_so_does_keeping_one_ready(replicas: int) -> None:
    assert not ends(deployment(replicas), elects=True)
    assert not ends(deployment(replicas, maxSurge=1, maxUnavailable=replicas - 1), elects=True)


def test_high_availability_of_the_kustomize_base_can_be_updated(tmp_path: Path) -> None:
    shutil.copytree(KUSTOMIZE, tmp_path / "kustomize")
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    kustomization = {"resources": ["../kustomize/epp"], "components": ["../kustomize/components/high-availability"]}
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    assert ends(only(kustomized(str(overlay)), "Deployment"), elects=True)


@pytest.mark.parametrize("replicas", [2, 3, 5])
def test_electing_pickers_of_the_chart_can_be_updated(replicas: int) -> None:
    found = only(templated(f"picker.replicas={replicas}"), "Deployment")
    assert ends(found, elects=True)
    assert found["spec"]["strategy"]["type"] == "RollingUpdate"


def test_pickers_that_are_all_asked_are_updated_as_usual() -> None:
    found = only(templated("picker.replicas=3", "picker.leaderElection=false"), "Deployment")
    assert "strategy" not in found["spec"]
    assert ends(found, elects=False)
    assert "strategy" not in only(templated(), "Deployment")["spec"], "one picker elects nobody"
