"""The command line of ``signalbox epp``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from signalbox.cli.epp_options import EppOptions, default_namespace

_TLS = "TLS of the ext_proc port"
_LIMITS = "Limits: what clients may take"
_MIB = 1024 * 1024


def epp(
    source: Annotated[
        Path | None,
        typer.Option(help="Directory with the pool, its models and its Pods as YAML; watched.", show_default=False),
    ] = None,
    pool_name: Annotated[
        str | None, typer.Option(help="The InferencePool to pick endpoints for.", show_default=False)
    ] = None,
    pool_namespace: Annotated[
        str | None,
        typer.Option(help="Its namespace; NAMESPACE from the environment, else default.", show_default=False),
    ] = None,
    grpc_host: Annotated[str, typer.Option(help="Address all three ports listen on.")] = "0.0.0.0",
    grpc_port: Annotated[int, typer.Option(min=0, max=65535, help="ext_proc.")] = 9002,
    grpc_health_port: Annotated[int, typer.Option(min=0, max=65535, help="gRPC health, always without TLS.")] = 9003,
    metrics_port: Annotated[int, typer.Option(min=0, max=65535, help="Prometheus metrics.")] = 9090,
    refresh_metrics_interval: Annotated[
        float, typer.Option(min=0.001, help="Seconds between two scrapes of a model server; stretched under load.")
    ] = 0.05,
    config_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="EndpointPickerConfig; watched. Without it the guide's filter tree.",
            show_default=False,
        ),
    ] = None,
    config_text: Annotated[
        str | None, typer.Option(metavar="YAML", help="The same as text instead of a file.", show_default=False)
    ] = None,
    fallbacks: Annotated[
        int | None,
        typer.Option(
            min=0, help="Endpoints named after the choice; 0 for gateways that take one address.", show_default=False
        ),
    ] = None,
    drain_seconds: Annotated[
        float, typer.Option(min=0, help="How long SIGTERM waits for requests in flight; a second one ends that.")
    ] = 30.0,
    verbosity: Annotated[int, typer.Option("-v", min=0, max=9, help="2 is normal, 4 logs every decision.")] = 2,
    log_format: Annotated[str, typer.Option("--log-format", "--zap-encoder", help="json or console.")] = "json",
    secure_serving: Annotated[
        bool, typer.Option(help="Serve ext_proc over TLS; also --secure-serving=false.", rich_help_panel=_TLS)
    ] = True,
    cert_path: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Directory with tls.crt and tls.key; watched. Without it the picker signs its own.",
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
    body_limit: Annotated[
        int, typer.Option(min=1, help="Largest request body in MiB; larger ones get 413.", rich_help_panel=_LIMITS)
    ] = 32,
    max_streams: Annotated[
        int, typer.Option(min=1, help="Requests at once on one connection.", rich_help_panel=_LIMITS)
    ] = 10_000,
    max_header_bytes: Annotated[
        int,
        typer.Option(min=1024, help="Size of the headers of one gRPC call (RFC 9113, 6.5.2).", rich_help_panel=_LIMITS),
    ] = 32 * 1024,
    max_buffered_mib: Annotated[
        int,
        typer.Option(
            min=1, help="Unfinished messages, and answers not taken, of one connection.", rich_help_panel=_LIMITS
        ),
    ] = 256,
    max_total_buffered_mib: Annotated[
        int, typer.Option(min=1, help="The same over all connections; the largest is cut.", rich_help_panel=_LIMITS)
    ] = 1024,
    max_connections: Annotated[
        int, typer.Option(min=1, help="Connections at once; more are turned away.", rich_help_panel=_LIMITS)
    ] = 4096,
    idle_timeout: Annotated[
        float,
        typer.Option(
            min=0.001, help="Seconds after which a connection without requests ends.", rich_help_panel=_LIMITS
        ),
    ] = 3600.0,
) -> None:
    """Run an endpoint picker: Envoy asks it over ext_proc which model server should take each request.

    The guide's thresholds are read from KV_CACHE_THRESHOLD, QUEUE_THRESHOLD_CRITICAL, QUEUING_THRESHOLD_LORA and
    LORA_AFFINITY_THRESHOLD; USE_STREAMING=false makes BUFFERED the mode of gateways that name none.
    """
    from signalbox.cli.epp import run

    options = EppOptions(
        source=source,
        pool_name=pool_name,
        pool_namespace=pool_namespace or default_namespace(),
        host=grpc_host,
        grpc_port=grpc_port,
        health_port=grpc_health_port,
        metrics_port=metrics_port,
        scrape_interval=refresh_metrics_interval,
        drain_seconds=drain_seconds,
        config_file=config_file,
        config_text=config_text,
        fallbacks=fallbacks,
        verbosity=verbosity,
        log_format=log_format,
        secure_serving=secure_serving,
        cert_path=cert_path,
        client_ca_file=client_ca_file,
        body_limit=body_limit * _MIB,
        max_streams=max_streams,
        max_header_bytes=max_header_bytes,
        max_buffered=max_buffered_mib * _MIB,
        max_total_buffered=max_total_buffered_mib * _MIB,
        max_connections=max_connections,
        idle_seconds=idle_timeout,
    )
    raise typer.Exit(run(options))
