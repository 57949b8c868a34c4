"""The command line of ``signalbox bbr``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from signalbox.cli.durations import seconds
from signalbox.cli.epp_options import default_namespace
from signalbox.cli.go_flags import NOTES

_TLS = "TLS of the ext_proc port"
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
    grpc_host: Annotated[str, typer.Option(help="Address all three ports listen on.")] = "0.0.0.0",
    grpc_port: Annotated[int, typer.Option(min=0, max=65535, help="ext_proc.")] = 9004,
    grpc_health_port: Annotated[int, typer.Option(min=0, max=65535, help="gRPC health, always without TLS.")] = 9005,
    metrics_port: Annotated[int, typer.Option(min=0, max=65535, help="Prometheus metrics.")] = 9090,
    body_limit: Annotated[int, typer.Option(min=1, help="Largest request body in MiB; larger ones get 413.")] = 32,
    drain_seconds: Annotated[
        float,
        typer.Option(
            parser=seconds,
            metavar="SECONDS",
            help="How long SIGTERM waits for requests in flight; a second one ends that.",
        ),
    ] = 30.0,
    drain_delay: Annotated[
        float,
        typer.Option(
            parser=seconds,
            metavar="SECONDS",
            help="How long SIGTERM leaves the port open while health says NOT_SERVING, before that.",
        ),
    ] = 0.0,
    verbosity: Annotated[int, typer.Option("-v", min=0, max=9, help="2 is normal, 4 is for debugging.")] = 2,
    log_format: Annotated[str, typer.Option("--log-format", "--zap-encoder", help="json or console.")] = "json",
    secure_serving: Annotated[
        bool, typer.Option(help="Serve ext_proc over TLS; also --secure-serving=false.", rich_help_panel=_TLS)
    ] = True,
    cert_path: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Directory with tls.crt and tls.key; watched. Without it a certificate is made up.",
            show_default=False,
            rich_help_panel=_TLS,
        ),
    ] = None,
    client_ca_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Turn away clients without a certificate from a CA in this PEM file; watched.",
            show_default=False,
            rich_help_panel=_TLS,
        ),
    ] = None,
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
        metrics_endpoint_auth=metrics_endpoint_auth,
        plugins=tuple(plugin or ()),
        notes=tuple(context.meta.get(NOTES, ())),
    )
    raise typer.Exit(run(options))
