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
    pool_group: str | None
    kubeconfig: Path | None
    leader_election: bool
    metrics_endpoint_auth: bool | None
    """``None``: as is usual where the pool is read from."""
    host: str
    grpc_port: int
    health_port: int
    metrics_port: int
    scrape_interval: float
    scrape_path: str
    queue_metric: str | None
    kv_usage_metric: str | None
    lora_metric: str | None
    drain_seconds: float
    drain_delay: float
    config_file: Path | None
    config_text: str | None
    fallbacks: int | None
    verbosity: int
    log_format: str
    secure_serving: bool
    cert_path: Path | None
    client_ca_file: Path | None
    body_limit: int
    max_streams: int
    max_header_bytes: int
    max_buffered: int
    max_total_buffered: int
    max_connections: int
    idle_seconds: float
    message_seconds: float
    explain_records: int
    explain_sample: float
    explain_rate: float
    refused_file: Path | None = None
    """Says what was refused before this picker could see it."""
    transport_limits: tuple[str, ...] = ()
    """Limits of the transport that have no option of their own: ``name=number``."""
    notes: tuple[str, ...] = ()
    """What to tell the user about flags that were accepted and have no effect."""
