"""The command line of ``signalbox bbr``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from signalbox.cli.epp_options import default_namespace
from signalbox.cli.go_flags import NOTES
from signalbox.cli.serving_flags import (
    BodyLimit,
    CertPath,
    ClientCaFile,
    DrainDelay,
    DrainSeconds,
    GrpcPort,
    HealthPort,
    Host,
    LogFormat,
    MetricsPort,
    SecureServing,
    TransportLimit,
)

_MIB = 1024 * 1024


def bbr(
    context: typer.Context,
    source: Annotated[
        Path | None,
        typer.Option(
            help="Directory with ConfigMaps of base models as YAML; watched. Without it a Kubernetes API server.",
            show_default=False,
        ),
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option(help="Their namespace; NAMESPACE from the environment, else default.", show_default=False),
    ] = None,
    kubeconfig: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="How to reach the API server; else KUBECONFIG, the pod's service account, or none.",
            show_default=False,
        ),
    ] = None,
    metrics_endpoint_auth: Annotated[
        bool | None,
        typer.Option(
            help="Metrics only for those whom the API server lets GET them; in a cluster, unless =false.",
            show_default=False,
        ),
    ] = None,
    plugin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE:NAME",
            help="Accepted for the reference's two default plugins, which are built in (repeatable).",
            show_default=False,
        ),
    ] = None,
    streaming: Annotated[
        bool, typer.Option(help="FULL_DUPLEX_STREAMED bodies from gateways that name no mode, else BUFFERED ones.")
    ] = False,
    grpc_host: Host = "0.0.0.0",
    grpc_port: GrpcPort = 9004,
    grpc_health_port: HealthPort = 9005,
    metrics_port: MetricsPort = 9090,
    body_limit: BodyLimit = 32,
    drain_seconds: DrainSeconds = 30.0,
    drain_delay: DrainDelay = 0.0,
    verbosity: Annotated[int, typer.Option("-v", min=0, max=9, help="2 is normal, 4 is for debugging.")] = 2,
    log_format: LogFormat = "json",
    secure_serving: SecureServing = True,
    cert_path: CertPath = None,
    client_ca_file: ClientCaFile = None,
    transport_limit: TransportLimit = None,
) -> None:
    """Run body-based routing: Envoy asks it over ext_proc, and the body's model becomes X-Gateway-Model-Name.

    HTTPRoutes that match on that header then lead to a pool for each model. X-Gateway-Base-Model-Name is the base model
    behind an adapter, from ConfigMaps labelled inference.networking.k8s.io/bbr-managed=true.
    """
    from signalbox.cli.bbr import BbrOptions, run

    options = BbrOptions(
        source=source,
        namespace=namespace or default_namespace(),
        kubeconfig=kubeconfig,
        streaming=streaming,
        host=grpc_host,
        grpc_port=grpc_port,
        health_port=grpc_health_port,
        metrics_port=metrics_port,
        body_limit=body_limit * _MIB,
        drain_seconds=drain_seconds,
        drain_delay=drain_delay,
        verbosity=verbosity,
        log_format=log_format,
        secure_serving=secure_serving,
        cert_path=cert_path,
        client_ca_file=client_ca_file,
        transport_limits=tuple(transport_limit or ()),
        metrics_endpoint_auth=metrics_endpoint_auth,
        plugins=tuple(plugin or ()),
        notes=tuple(context.meta.get(NOTES, ())),
    )
    raise typer.Exit(run(options))
