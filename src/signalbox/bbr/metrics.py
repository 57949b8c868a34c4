"""Prometheus metrics of body-based routing, under the reference's names."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from signalbox.bbr.model_name import FIELD

_SECONDS = (0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


class RouterMetrics:
    """Counts what becomes of each body."""

    def __init__(self, *, commit: str = "", build_ref: str = "") -> None:
        """``commit`` and ``build_ref`` are the labels of ``bbr_info``."""
        registry = self.registry = CollectorRegistry()
        info = Gauge("bbr_info", "What this process was built from.", ("commit", "build_ref"), registry=registry)
        info.labels(commit, build_ref).set(1)
        self._success = Counter("bbr_success", "Requests whose model became a header.", registry=registry)
        missing = Counter("bbr_body_field_not_found", "Bodies without the field.", ("field",), registry=registry)
        self._missing = missing.labels(FIELD)
        empty = Counter("bbr_body_field_empty", "Bodies whose field is empty.", ("field",), registry=registry)
        self._empty = empty.labels(FIELD)
        self._no_model = Counter("bbr_model_not_in_body", "Bodies that name no model.", registry=registry)
        self._broken = Counter("bbr_model_not_parsed", "Bodies refused: no JSON, or no model name.", registry=registry)
        seconds = Histogram(
            "bbr_plugin_duration_seconds",
            "Time to read a body and to find its model and base model.",
            ("extension_point", "plugin_type", "plugin_name"),
            registry=registry,
            buckets=_SECONDS,
        )
        self._seconds = seconds.labels("ProcessRequest", "body-field-to-header", "body-field-to-header")

    def lifted(self) -> None:
        """A body's model became a header."""
        self._success.inc()

    def missing(self) -> None:
        """A body names no model."""
        self._missing.inc()
        self._no_model.inc()

    def empty(self) -> None:
        """A body's model is the empty text."""
        self._empty.inc()
        self._no_model.inc()

    def broken(self) -> None:
        """A body was refused."""
        self._broken.inc()

    def took(self, seconds: float) -> None:
        """What reading one body cost."""
        self._seconds.observe(seconds)
