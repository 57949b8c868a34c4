"""The command line of ``signalbox epp``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from signalbox.cli.durations import seconds
from signalbox.cli.epp_options import EppOptions, default_namespace
from signalbox.cli.go_flags import NOTES
from signalbox.cli.serving_flags import (
    LIMITS,
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

_CLUSTER = "In a cluster"
_SERVERS = "Metrics of model servers"
_EXPLAIN = "Explain: which decisions are kept for signalbox explain"
_MIB = 1024 * 1024


def scrape_interval(text: str | float) -> float:
    """Return ``--refresh-metrics-interval`` in seconds. Raises `typer.BadParameter` below a millisecond."""
    value = seconds(text)
    if value < 0.001:
        raise typer.BadParameter(f"{text!r} is under a millisecond: write 1ms or more")
    return value


def epp(
    context: typer.Context,
    source: Annotated[
        Path | None,
        typer.Option(
            help="Directory with the pool, its models and Pods as YAML; watched. Without it a Kubernetes API server.",
            show_default=False,
        ),
    ] = None,
    pool_name: Annotated[
        str | None, typer.Option(help="The InferencePool to pick endpoints for.", show_default=False)
    ] = None,
    pool_namespace: Annotated[
        str | None,
        typer.Option(help="Its namespace; NAMESPACE from the environment, else default.", show_default=False),
    ] = None,
    pool_group: Annotated[
        str | None,
        typer.Option(
            help="The API group of the InferencePool; both are looked at without it.",
            show_default=False,
            rich_help_panel=_CLUSTER,
        ),
    ] = None,
    kubeconfig: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="How to reach the API server; else KUBECONFIG, the pod's service account, ~/.kube/config.",
            show_default=False,
            rich_help_panel=_CLUSTER,
        ),
    ] = None,
    ha_enable_leader_election: Annotated[
        bool, typer.Option(help="Of several replicas only the leader is ready.", rich_help_panel=_CLUSTER)
    ] = False,
    metrics_endpoint_auth: Annotated[
        bool | None,
        typer.Option(
            help="Metrics only for those whom the API server lets GET them; in a cluster, unless =false.",
            show_default=False,
            rich_help_panel=_CLUSTER,
        ),
    ] = None,
    grpc_host: Host = "0.0.0.0",
    grpc_port: GrpcPort = 9002,
    grpc_health_port: HealthPort = 9003,
    metrics_port: MetricsPort = 9090,
    refresh_metrics_interval: Annotated[
        float,
        typer.Option(
            parser=scrape_interval,
            metavar="SECONDS",
            help="Between two scrapes, or as 50ms; stretched under load.",
            rich_help_panel=_SERVERS,
        ),
    ] = 0.05,
    model_server_metrics_path: Annotated[
        str, typer.Option(help="Where they have their metrics.", rich_help_panel=_SERVERS)
    ] = "/metrics",
    total_queued_requests_metric: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC",
            help="Their queue: NAME or NAME{label=value}.",
            show_default=False,
            rich_help_panel=_SERVERS,
        ),
    ] = None,
    kv_cache_usage_percentage_metric: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC", help="Their KV cache use, 0 to 1.", show_default=False, rich_help_panel=_SERVERS
        ),
    ] = None,
    lora_info_metric: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC", help='Their LoRA adapters; "" for none.', show_default=False, rich_help_panel=_SERVERS
        ),
    ] = None,
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
    drain_seconds: DrainSeconds = 30.0,
    drain_delay: DrainDelay = 0.0,
    verbosity: Annotated[int, typer.Option("-v", min=0, max=9, help="2 is normal, 4 logs every decision.")] = 2,
    log_format: LogFormat = "json",
    secure_serving: SecureServing = True,
    cert_path: CertPath = None,
    client_ca_file: ClientCaFile = None,
    body_limit: BodyLimit = 32,
    max_streams: Annotated[
        int, typer.Option(min=1, max=2**32 - 1, help="Requests at once on one connection.", rich_help_panel=LIMITS)
    ] = 10_000,
    max_header_bytes: Annotated[
        int,
        typer.Option(
            min=1024,
            max=2**32 - 1,
            help="Size of the headers of one gRPC call (RFC 9113, 6.5.2).",
            rich_help_panel=LIMITS,
        ),
    ] = 32 * 1024,
    max_buffered_mib: Annotated[
        int,
        typer.Option(
            min=1, help="Unfinished messages, and answers not taken, of one connection.", rich_help_panel=LIMITS
        ),
    ] = 256,
    max_total_buffered_mib: Annotated[
        int, typer.Option(min=1, help="The same over all connections; the largest is cut.", rich_help_panel=LIMITS)
    ] = 1024,
    max_connections: Annotated[
        int, typer.Option(min=1, help="Connections at once; more are turned away.", rich_help_panel=LIMITS)
    ] = 4096,
    idle_timeout: Annotated[
        float,
        typer.Option(min=0.001, help="Seconds after which a connection without requests ends.", rich_help_panel=LIMITS),
    ] = 3600.0,
    message_timeout: Annotated[
        float,
        typer.Option(min=0.001, help="Seconds that one gRPC message may take to arrive.", rich_help_panel=LIMITS),
    ] = 60.0,
    transport_limit: TransportLimit = None,
    explain_records: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Decisions kept; 0 for none.", rich_help_panel=_EXPLAIN)
    ] = 1000,
    explain_sample: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of requests, chosen by request id.", rich_help_panel=_EXPLAIN),
    ] = 1.0,
    explain_rate: Annotated[
        float,
        typer.Option(
            min=0.001,
            help="Decisions kept in a second, beyond a burst that fills the records.",
            rich_help_panel=_EXPLAIN,
        ),
    ] = 100.0,
    refused_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON: what was refused before it could get here, for signalbox status; signalbox up writes one.",
            show_default=False,
            rich_help_panel=_EXPLAIN,
        ),
    ] = None,
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
        pool_group=pool_group,
        kubeconfig=kubeconfig,
        leader_election=ha_enable_leader_election,
        metrics_endpoint_auth=metrics_endpoint_auth,
        host=grpc_host,
        grpc_port=grpc_port,
        health_port=grpc_health_port,
        metrics_port=metrics_port,
        scrape_interval=refresh_metrics_interval,
        scrape_path=model_server_metrics_path,
        queue_metric=total_queued_requests_metric,
        kv_usage_metric=kv_cache_usage_percentage_metric,
        lora_metric=lora_info_metric,
        drain_seconds=drain_seconds,
        drain_delay=drain_delay,
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
        message_seconds=message_timeout,
        transport_limits=tuple(transport_limit or ()),
        explain_records=explain_records,
        explain_sample=explain_sample,
        explain_rate=explain_rate,
        refused_file=refused_file,
        notes=tuple(context.meta.get(NOTES, ())),
    )
    raise typer.Exit(run(options))
