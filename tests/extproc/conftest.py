"""The pool that gateways of this room route over."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conftest import Objects

from signalbox.pool import Pool


@pytest.fixture
def pool(build_pool: Any, objects: Objects) -> Pool:
    built: Pool = build_pool(
        (3, 0.2, set()),
        (0, 0.1, {"foo", "sql-lora-1fdg2"}),
        (10, 0.2, set()),
        resources=(
            objects.model("my-model", (("my-model-12345", 100),), criticality="Critical"),
            objects.model("sql-lora", (("sql-lora-1fdg2", 100),), criticality="Critical"),
            objects.model("direct-model", criticality="Critical"),
            objects.model("batch", criticality="Sheddable"),
        ),
    )
    return built
