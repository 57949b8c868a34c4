"""What a picker has in a cluster besides: its source is an API server, it may stand for election, its metrics are
guarded."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Callable, Mapping

from signalbox.cli.epp_options import EppOptions
from signalbox.cli.metrics_guard import MetricsGuard
from signalbox.cluster import Api, Election, LeaseCandidate, Reviews, lease_name
from signalbox.observability import SourceCollector
from signalbox.pool import Pool
from signalbox.sources.kubernetes import KubernetesSource


class InCluster:
    """The parts that talk to the API server. Use `close` at the end."""

    def __init__(self, options: EppOptions, api: Api, pool: Pool, environment: Mapping[str, str]) -> None:
        self.source = KubernetesSource(api, pool, group=options.pool_group)
        self.guard = MetricsGuard(Reviews(api, time.monotonic)) if options.metrics_endpoint_auth is not False else None
        self.candidate = self._candidate(api, pool, environment) if options.leader_election else None
        self.collector = SourceCollector(self.source.state, lambda: self.source.problems, self._leads)
        self._api = api
        self._changed: Callable[[], None] = lambda: None

    def on_change(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` whenever leadership begins or ends."""
        self._changed = changed

    @property
    def elects(self) -> bool:
        """Whether replicas stand for election."""
        return self.candidate is not None

    @property
    def stands_back(self) -> bool:
        """Whether another replica leads, so that this one is not to be sent requests."""
        return self._leads() is False

    async def stand(self) -> None:
        """Stand for election, if there is one, until cancelled; then let another replica lead at once."""
        if self.candidate is None:
            return
        try:
            await self.candidate.run()
        finally:
            await self.candidate.resign()

    async def close(self) -> None:
        """Close the connections to the API server."""
        await self._api.close()

    def _tell(self) -> None:
        self._changed()

    def _leads(self) -> bool | None:
        return None if self.candidate is None else self.candidate.leads

    def _candidate(self, api: Api, pool: Pool, environment: Mapping[str, str]) -> LeaseCandidate:
        # A pod's name is its host's; a restarted container is another candidate than the one before.
        identity = f"{environment.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4()}"
        name = lease_name(pool.namespace, pool.name)
        return LeaseCandidate(api, pool.namespace, name, Election(identity), self._tell, time.monotonic)
