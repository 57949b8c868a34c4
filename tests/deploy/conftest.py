"""A place for overlays that a test writes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.deploy.rendered import KUSTOMIZE


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A directory for an overlay: kustomize takes relative paths only, so it holds a copy of ours."""
    shutil.copytree(KUSTOMIZE, tmp_path / "kustomize")
    return tmp_path / "overlay"
