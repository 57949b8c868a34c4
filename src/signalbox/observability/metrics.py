"""The picker's Prometheus metrics, under the names the Gateway API Inference Extension gave them.

Both generations of names are exported: ``inference_model_*`` of the InferenceModel releases and
``inference_objective_*`` of the later ones, out of the same counts.
"""

from __future__ import annotations

from collections import Counter

from prometheus_client import CollectorRegistry

from signalbox.director.events import Completion, Ticket
from signalbox.director.wait import Wait
from signalbox.observability import buckets
from signalbox.observability.exposition import PickerCollector, State
from signalbox.observability.flow import FlowCounts
from signalbox.observability.histogram import Histogram
from signalbox.observability.names import NameGuard
from signalbox.observability.pool_view import PoolView
from signalbox.observability.series import Attempt, Sent, Series
from signalbox.pool import Endpoint

_MOST_ATTEMPTS = 20_000  # pairs of target and endpoint that are counted before those of departed pods are dropped

# Refusals that come out of the scheduler; the others come before it is asked.
_UNSCHEDULED = frozenset({"InferencePoolResourceExhausted", "ServiceUnavailable"})


class PickerMetrics:
    """Counts what the director reports (it is an `Observer`) and shows it to Prometheus.

    Model names are chosen by clients: at most ``max_models`` different ones become labels, each further one is counted
    under ``other``. Refused requests may add a tenth as many names, so that a client that asks for made-up models
    does not use up the names of real ones.

    Use from one thread only.
    """

    def __init__(self, pool: PoolView, *, commit: str = "", build_ref: str = "", max_models: int = 1000) -> None:
        """``commit`` and ``build_ref`` are the labels of ``inference_extension_info``."""
        self._names = NameGuard(max_models)
        self._refused_names = NameGuard(max(1, max_models // 10), known=self._names)
        self._pool = pool
        self._by_name: dict[tuple[str, str], Series] = {}
        self._state = State(
            series={},
            running=Counter(),
            errors=Counter(),
            attempts={},
            scheduler_seconds=Histogram(buckets.SCHEDULER_SECONDS),
            rewrites=Counter(),
        )
        self.flow = FlowCounts()
        """How requests wait."""
        self.registry = CollectorRegistry()
        self.registry.register(PickerCollector(pool, self._state, commit, build_ref))

    def refused(self, model: str, target: str, code: str, now: float) -> None:
        """Count a request that got no endpoint, by error code."""
        model, target = self._refused_names.admit(model), self._refused_names.admit(target)
        self._state.errors[model, target, code] += 1
        if code in _UNSCHEDULED:
            self._attempts(Attempt("failure", target)).count += 1

    def routed(self, ticket: Ticket, decision_seconds: float) -> None:
        """Count a routed request, its size and what its decision cost."""
        series = self._by_name.get((ticket.model, ticket.target)) or self._new_series(ticket.model, ticket.target)
        series.routed(ticket)
        state = self._state
        state.running[series.model] += 1
        state.scheduler_seconds.observe(decision_seconds)
        if ticket.rewrite:
            state.rewrites[ticket.rewrite, series.model, series.target] += 1
        endpoint = ticket.endpoint
        sent = series.sent.get(endpoint.row)
        if sent is None or sent.endpoint is not endpoint:
            sent = self._sent(series, endpoint)
        sent.count += 1

    def finished(self, ticket: Ticket, completion: Completion, now: float) -> None:
        """Count the end of a routed request."""
        series = self._by_name.get((ticket.model, ticket.target)) or self._new_series(ticket.model, ticket.target)
        self._state.running[series.model] -= 1
        if completion.outcome == "server_error":
            self._state.errors[series.model, series.target, "ModelServerError"] += 1
        series.finished(ticket, completion, now)

    def queued(self, wait: Wait) -> None:
        """Count a request that waits from now on."""
        self.flow.queued(wait)

    def dispatched(self, wait: Wait) -> None:
        """Count a request whose turn has come, perhaps at once."""
        self.flow.ended(wait)

    def dropped(self, wait: Wait) -> None:
        """Count a request that waited in vain, or for which there was no room to."""
        self.flow.ended(wait)

    def taken_back(self, ticket: Ticket) -> None:
        """Count a request that is taken back from its server."""
        self.flow.taken_back(ticket.priority)

    def _attempts(self, labels: Attempt) -> Sent:
        """Return what counts the attempts with these labels, perhaps for this once only."""
        attempts = self._state.attempts
        sent = attempts.get(labels)
        if sent is None:
            sent = attempts[labels] = Sent(None)
            if len(attempts) > _MOST_ATTEMPTS:
                self._drop_departed()
        return sent

    def _sent(self, series: Series, endpoint: Endpoint) -> Sent:
        """Return what counts the requests of a series to an endpoint, which is another one than its row had before."""
        labels = Attempt("success", series.target, endpoint.pod, endpoint.namespace, endpoint.port)
        sent = self._attempts(labels)
        if labels in self._state.attempts:
            sent.endpoint = endpoint
            series.sent[endpoint.row] = sent
        return sent

    def _new_series(self, model: str, target: str) -> Series:
        labels = self._names.admit(model), self._names.admit(target)
        series = self._state.series.get(labels)
        if series is None:
            series = self._state.series[labels] = Series(*labels)
        if labels == (model, target):
            # Only pairs that are labels themselves are remembered, so that this stays as bounded as they are.
            self._by_name[labels] = series
        return series

    def _drop_departed(self) -> None:
        # Pods come and go under new names; the counts of those that left have been scraped long ago.
        attempts = self._state.attempts
        present = {load.pod for load in self._pool.loads()}
        kept = {key: sent for key, sent in attempts.items() if not key.pod or key.pod in present}
        attempts.clear()
        if len(kept) <= _MOST_ATTEMPTS // 2:
            attempts.update(kept)
        for series in self._state.series.values():
            series.sent.clear()
