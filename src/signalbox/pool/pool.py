"""The live state of one InferencePool: which endpoints are ready, what they report, what we sent them.

Objects arrive through :meth:`Pool.set_pool`, :meth:`Pool.put` and :meth:`Pool.remove`, from files or from a
Kubernetes watch alike. An endpoint that leaves keeps its row until the last request we sent it has ended, so that a
pod whose readiness flaps comes back with its in-flight count intact, and a row is never reused under a request that
still refers to it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xxhash

from signalbox.pool.accounts import Accounts
from signalbox.pool.catalogue import Catalogue, HeldBack, Unloaded
from signalbox.pool.charges import Charge, ScrapeMark
from signalbox.pool.columns import Columns, Rows
from signalbox.pool.endpoints import Endpoint
from signalbox.pool.intake import take_in
from signalbox.pool.left_out import LeftOut, left_out
from signalbox.pool.listings import Listings, ModelList
from signalbox.pool.membership import places
from signalbox.pool.readings import Readings
from signalbox.pool.residency import Residency
from signalbox.resources import (
    InferenceModel,
    InferenceModelRewrite,
    InferenceObjective,
    InferencePool,
    Key,
    Pod,
)

Member = Pod | InferenceModel | InferenceModelRewrite | InferenceObjective


class Pool:
    """State of the InferencePool ``namespace``/``name``. Every change is immediate; nothing here waits."""

    def __init__(self, name: str, namespace: str = "default") -> None:
        self.name = name
        self.namespace = namespace
        self.spec: InferencePool | None = None
        self.columns = Columns()
        self._accounts = Accounts(self.columns)
        self._residency = Residency(self.columns)
        self._listings = Listings(self.columns)
        self.catalogue = Catalogue()
        self._stale = False
        self._endpoints: tuple[Endpoint, ...] = ()
        self._rows: Rows = np.empty(0, np.intp)
        self._version = 0
        self._by_row: dict[int, Endpoint] = {}
        self._pods: dict[Key, Pod] = {}
        self._bound: dict[tuple[str, str, str, int], Endpoint] = {}
        self._by_address: dict[str, Endpoint] = {}
        self._by_host: dict[str, list[Endpoint]] = {}
        self._free: list[int] = list(range(self.columns.size - 1, -1, -1))

    # -- objects ------------------------------------------------------------------------------------------------

    def set_pool(self, spec: InferencePool | None) -> None:
        """Take the pool's own object, or ``None`` when it was deleted: then there are no endpoints."""
        self.spec = spec
        self._stale = True

    def put(self, resource: Member) -> None:
        """Add or replace a pod, model, rewrite or objective.

        Objects of another namespace and objects whose ``poolRef`` names another pool are removed if they were here,
        since they have left this pool.
        """
        if isinstance(resource, Pod):
            if resource.metadata.namespace != self.namespace:
                return
            self._pods[resource.key] = resource
            self._stale = True
        elif resource.metadata.namespace == self.namespace and resource.spec.pool_ref.name == self.name:
            self.catalogue.put(resource)
        else:
            self.catalogue.remove(resource.key)

    def remove(self, key: Key) -> None:
        """Forget an object; unknown keys are ignored."""
        if self._pods.pop(key, None) is not None:
            self._stale = True
        else:
            self.catalogue.remove(key)

    # -- endpoints ----------------------------------------------------------------------------------------------
    # Changes are taken up when somebody looks, so that 1,000 pods becoming ready in one batch are sorted out once.

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The ready endpoints, in row order."""
        if self._stale:
            self._refresh()
        return self._endpoints

    @property
    def rows(self) -> Rows:
        """The rows of the ready endpoints, ascending; an array that cannot be written to."""
        if self._stale:
            self._refresh()
        return self._rows

    @property
    def by_row(self) -> Mapping[int, Endpoint]:
        """The ready endpoints by their row; another mapping after every change."""
        if self._stale:
            self._refresh()
        return self._by_row

    @property
    def version(self) -> int:
        """Grows whenever :attr:`endpoints` changes."""
        if self._stale:
            self._refresh()
        return self._version

    def left_out(self) -> list[LeftOut]:
        """The pods that are not endpoints, and why; worked out anew each time."""
        return left_out(self._pods.values(), self.spec)

    def subset(self, hints: tuple[str, ...]) -> Rows:
        """Rows of the ready endpoints that ``hints`` name: each hint is ``ip:port``, or an ``ip`` for all its ports."""
        if self._stale:
            self._refresh()
        rows: dict[int, None] = {}
        for hint in hints:
            endpoint = self._by_address.get(hint)
            if endpoint is not None:
                rows[endpoint.row] = None
            else:
                for other in self._by_host.get(hint.strip("[]"), ()):
                    rows[other.row] = None
        return np.fromiter(sorted(rows), np.intp, len(rows))

    def at(self, address: str) -> Endpoint | None:
        """Return the ready endpoint at ``ip:port``."""
        if self._stale:
            self._refresh()
        return self._by_address.get(address)

    def endpoint(self, row: int) -> Endpoint:
        """Return the ready endpoint of ``row``; raises ``KeyError`` where there is none."""
        return self._by_row[row]

    def _is_ready(self, endpoint: Endpoint) -> bool:
        """Whether it is still there, under whatever labels, and its row its own."""
        known = self._by_row.get(endpoint.row)
        return known is endpoint or (known is not None and known.same_server(endpoint))

    def _refresh(self) -> None:
        """Bring the rows in line with the pods; keep the row of every endpoint that stays."""
        self._stale = False
        present: dict[int, Endpoint] = {}
        for place in places(self._pods.values(), self.spec):
            pod, name, port = place
            identity = namespace, pod_name, host, _ = place.identity
            bound = self._bound.get(identity)
            row = self._take_row() if bound is None else bound.row
            if bound is None or bound.labels != pod.metadata.labels or bound.name != name:
                bound = Endpoint(name, namespace, pod_name, host, port, row, dict(pod.metadata.labels))
                self.columns.identity[row] = xxhash.xxh64_intdigest(bound.address.encode())
                self._bound[identity] = bound
            present[row] = bound
        for identity, endpoint in list(self._bound.items()):
            if endpoint.row not in present and self.columns.inflight[endpoint.row] <= 0:
                self._free_row(identity, endpoint.row)
        endpoints = tuple(present[row] for row in sorted(present))
        self._by_row = present
        if endpoints != self._endpoints:
            self._endpoints = endpoints
            self._rows = np.fromiter(sorted(present), np.intp, len(present))
            self._rows.setflags(write=False)  # it is handed to plugins, and lasts until the endpoints change
            self._by_address = {endpoint.address: endpoint for endpoint in endpoints}
            self._by_host = {}
            for endpoint in endpoints:
                self._by_host.setdefault(endpoint.host, []).append(endpoint)
            self._version += 1
            self._tell_catalogue()

    def _take_row(self) -> int:
        if not self._free:
            first = self.columns.size
            self.columns.grow()
            self._free = list(range(self.columns.size - 1, first - 1, -1))
        return self._free.pop()

    def _free_row(self, identity: tuple[str, str, str, int], row: int) -> None:
        del self._bound[identity]
        self._accounts.forget(row)
        self._listings.forget(row)
        self._residency.forget(row)
        self.columns.clear(row)
        self._free.append(row)

    # -- what we sent -------------------------------------------------------------------------------------------

    def acquire(
        self, endpoint: Endpoint, prompt_tokens: float, answer_tokens: float = 0.0, cached_tokens: float = 0.0
    ) -> Charge:
        """Put one request on the endpoint's account.

        ``prompt_tokens`` are those the server has to compute, ``cached_tokens`` those of the prompt it need not, and
        ``answer_tokens`` how many are expected back.
        """
        charge = Charge(endpoint, prompt_tokens, answer_tokens, cached_tokens)
        self._accounts.open(charge)
        return charge

    def answered(self, charge: Charge) -> None:
        """The first token came: the prompt is computed, the request decodes."""
        self._accounts.answered(charge)

    def move(self, charge: Charge, endpoint: Endpoint, cached_tokens: float) -> None:
        """Move a request to the endpoint that really served it, such as the first fallback, which is believed to hold
        ``cached_tokens`` of its prompt."""
        left = charge.endpoint
        if endpoint.row != left.row and self._accounts.move(charge, endpoint, cached_tokens):
            self._idle(left)

    def release(self, charge: Charge) -> None:
        """Take the request off the account. Call once for each charge."""
        if self._accounts.close(charge):
            self._idle(charge.endpoint)

    def _idle(self, endpoint: Endpoint) -> None:
        """The last request there has ended: an endpoint that has left gives its row back."""
        if endpoint.row not in self._by_row:
            identity = (endpoint.namespace, endpoint.pod, endpoint.host, endpoint.port)
            if identity in self._bound:
                self._free_row(identity, endpoint.row)

    # -- what they report ---------------------------------------------------------------------------------------

    def scraping_every(self, seconds: float) -> None:
        """Say how far apart the scrapes of one endpoint are now, so that nobody takes a reading for old that is not."""
        self.columns.scrape_interval = seconds

    def begin_scrape(self, endpoint: Endpoint) -> ScrapeMark:
        """Call before asking an endpoint for its metrics; hand the result to :meth:`record`."""
        return self._accounts.mark(endpoint.row)

    def record(self, endpoint: Endpoint, readings: Readings, mark: ScrapeMark, now: float) -> None:
        """Store what a scrape reported. Fields that were not reported keep their last value."""
        row = endpoint.row
        if not self._is_ready(endpoint):
            return
        take_in(readings, row, now, self.columns, self._residency)
        self._accounts.compare(row, mark, readings, now)
        self.columns.scraped(row, now)

    def scrape_failed(self, endpoint: Endpoint, now: float) -> None:
        """Count a failed scrape. The last readings stay, and what we sent since goes on being counted on top of
        them."""
        if self._is_ready(endpoint):
            self.columns.scrape_failed(endpoint.row)

    def record_models(self, endpoint: Endpoint, models: ModelList | None) -> None:
        """Store which models an endpoint lists; ``None`` when that is not known any more."""
        row = endpoint.row
        if not self._is_ready(endpoint):
            return
        news = self._listings.forget(row) if models is None else self._listings.record(row, models)
        if news:
            if models is not None:
                self._residency.keep_only(row, models.names)
            self._tell_catalogue()

    def model_answered(self, endpoint: Endpoint, name: str, now: float) -> None:
        """A request for ``name`` was answered with 200: an adapter is in the server's memory then."""
        if self.columns.is_adapter(name) and self._is_ready(endpoint):
            self._residency.answered(endpoint.row, name, now)

    def model_refused(self, endpoint: Endpoint, name: str) -> None:
        """The endpoint does not know ``name`` (404), whatever it listed."""
        if self._is_ready(endpoint):
            self._residency.lost(endpoint.row, name)
            if self._listings.refused(endpoint.row, name):
                self._tell_catalogue()

    def held_back(self) -> tuple[HeldBack, ...]:
        """The weighted targets that get no traffic, since no ready endpoint has loaded them."""
        return self.catalogue.held_back()

    def unloaded(self) -> tuple[Unloaded, ...]:
        """The objects none of whose targets any ready endpoint has loaded: their requests get a server's 404."""
        return self.catalogue.unloaded()

    def _tell_catalogue(self) -> None:
        self.catalogue.set_listed(self._listings.names(self._rows))
