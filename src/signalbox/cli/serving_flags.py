"""The flags that picker and body-based routing share: ports, the drain, logs, TLS and limits of their ext_proc port."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from signalbox.cli.durations import seconds

TLS = "TLS of the ext_proc port"
LIMITS = "Limits: what clients may take"

Host = Annotated[str, typer.Option(help="Address all three ports listen on.")]
GrpcPort = Annotated[int, typer.Option(min=0, max=65535, help="ext_proc.")]
HealthPort = Annotated[int, typer.Option(min=0, max=65535, help="gRPC health, always without TLS.")]
MetricsPort = Annotated[int, typer.Option(min=0, max=65535, help="Prometheus metrics.")]
DrainSeconds = Annotated[
    float,
    typer.Option(
        parser=seconds,
        metavar="SECONDS",
        help="How long SIGTERM waits for requests in flight; a second one ends that.",
    ),
]
DrainDelay = Annotated[
    float,
    typer.Option(
        parser=seconds,
        metavar="SECONDS",
        help="How long SIGTERM leaves the port open while health says NOT_SERVING, before that.",
    ),
]
LogFormat = Annotated[str, typer.Option("--log-format", "--zap-encoder", help="json or console.")]
SecureServing = Annotated[
    bool, typer.Option(help="Serve ext_proc over TLS; also --secure-serving=false.", rich_help_panel=TLS)
]
CertPath = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Directory with tls.crt and tls.key; watched. Without it a self-signed certificate.",
        show_default=False,
        rich_help_panel=TLS,
    ),
]
ClientCaFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Turn away clients without a certificate from a CA in this PEM file; watched.",
        show_default=False,
        rich_help_panel=TLS,
    ),
]
BodyLimit = Annotated[
    int, typer.Option(min=1, help="Largest request body in MiB; larger ones get 413.", rich_help_panel=LIMITS)
]
TransportLimit = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=NUMBER",
        help="Another limit of docs/transport.md, such as turn_seconds=0.005 (repeatable).",
        show_default=False,
        rich_help_panel=LIMITS,
    ),
]
