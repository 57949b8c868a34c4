"""The syncer's own metrics."""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest


class SyncMetrics:
    """Counts and states of one syncer, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._status = Gauge(
            "lora_syncer_adapter_status",
            "Status of LoRA adapters (1=loaded, 0=not_loaded)",
            ["adapter_name"],
            registry=self.registry,
        )
        self._reconciles = Counter(
            "lora_syncer_reconcile", "Reconcile passes by result", ["result"], registry=self.registry
        )
        self._errors = Counter(
            "lora_syncer_adapter_errors",
            "Failed requests to load or unload an adapter",
            ["adapter_name", "operation"],
            registry=self.registry,
        )
        self._valid = Gauge(
            "lora_syncer_config_valid",
            "Whether the configuration file is valid as it is now (1) or an older one is in force (0)",
            registry=self.registry,
        )
        self._last_success = Gauge(
            "lora_syncer_last_success_timestamp_seconds",
            "When a pass last left the server as configured, in Unix time",
            registry=self.registry,
        )
        self._shown: set[str] = set()

    def adapter(self, id: str, loaded: bool) -> None:
        """Show an adapter's state."""
        self._shown.add(id)
        self._status.labels(id).set(loaded)

    def keep_adapters(self, ids: Collection[str]) -> None:
        """Drop the state of adapters the configuration no longer names."""
        for id in self._shown - set(ids):
            self._status.remove(id)
            self._shown.discard(id)

    def adapter_error(self, id: str, operation: str) -> None:
        """Count a failed ``load`` or ``unload``."""
        self._errors.labels(id, operation).inc()

    def config_valid(self, valid: bool) -> None:
        """Show whether the file's present content is in force."""
        self._valid.set(valid)

    def reconciled(self, result: str, unix_time: float) -> None:
        """Count a pass."""
        self._reconciles.labels(result).inc()
        if result == "ok":
            self._last_success.set(unix_time)


async def serve_metrics(metrics: SyncMetrics, port: int, host: str | None = None) -> web.AppRunner:
    """Serve ``/metrics`` on ``host`` (default: all addresses) until ``runner.cleanup()``.

    Raises ``OSError`` if it cannot listen.
    """

    async def page(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/metrics", page)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner
