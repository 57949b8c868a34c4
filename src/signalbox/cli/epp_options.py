"""What ``signalbox epp`` can be told."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


def default_namespace() -> str:
    """Return the namespace a picker serves when none is given: ``NAMESPACE``, else ``default``."""
    return os.environ.get("NAMESPACE") or "default"


@dataclass(frozen=True, slots=True)
class EppOptions:
    """Options of an endpoint picker; times in seconds, sizes in bytes."""

    source: Path | None
    pool_name: str | None
    pool_namespace: str
    host: str
    grpc_port: int
    health_port: int
    metrics_port: int
    scrape_interval: float
    drain_seconds: float
    body_limit: int
    verbosity: int
    log_format: str
