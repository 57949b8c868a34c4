"""What a gRPC server counts for whoever watches it, as metrics."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from signalbox.wire import GrpcServer


class TransportCollector(Collector):
    """Reads a server's own counts when a scrape asks."""

    def __init__(self, server: GrpcServer) -> None:
        self._server = server

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        server = self._server
        for name, help_text, value in (
            ("connections", "Open connections to the ext_proc port.", server.connections),
            ("handshakes", "Connections in their TLS handshake, or waiting for it.", server.handshakes),
            ("calls", "Open calls over all of them.", server.calls),
            ("buffered_bytes", "Bytes that the connections make the picker keep.", server.buffered_bytes),
        ):
            gauge = GaugeMetricFamily(f"signalbox_transport_{name}", help_text)
            gauge.add_metric((), value)
            yield gauge
        faults = CounterMetricFamily(
            "signalbox_transport_faults",
            "Connections given up for a rule they broke, by the HTTP/2 error code they were told.",
            labels=("code",),
        )
        for code, count in server.faults.items():
            faults.add_metric((code.name,), count)
        yield faults
        failed = CounterMetricFamily(
            "signalbox_transport_handshake_failures",
            "TLS handshakes that came to nothing: crowded out by later ones, out of time, or refused by a side.",
            labels=("reason",),
        )
        for reason, count in server.handshake_failures.items():
            failed.add_metric((reason,), count)
        yield failed
        cut = CounterMetricFamily(
            "signalbox_transport_cut_for_memory", "Connections cut because all of them together held too much."
        )
        cut.add_metric((), server.cut_for_memory)
        yield cut
