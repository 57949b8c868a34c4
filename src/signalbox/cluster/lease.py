"""Standing for election over a ``coordination.k8s.io/v1`` Lease."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from signalbox.cluster.api import Api
from signalbox.cluster.election import Election, Read, Record, Write
from signalbox.cluster.errors import ApiFailure, Refused, Unreachable

log = logging.getLogger("signalbox.election")

RESIGN_SECONDS = 3.0
"""How long giving up the Lease may take: whoever stops has other things to do."""


def lease_name(namespace: str, pool: str) -> str:
    """Return the name of the Lease that the pickers of a pool share, the reference's included."""
    return f"epp-{namespace}-{pool}.gateway-api-inference-extension.sigs.k8s.io"


class _Meta(msgspec.Struct, omit_defaults=True):
    name: str
    namespace: str
    version: str = msgspec.field(name="resourceVersion", default="")
    labels: Any = None
    annotations: Any = None
    finalizers: Any = None
    owners: Any = msgspec.field(name="ownerReferences", default=None)


class _Spec(msgspec.Struct, rename="camel"):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class _Lease(msgspec.Struct, rename="camel"):
    metadata: _Meta
    api_version: str = "coordination.k8s.io/v1"
    kind: str = "Lease"
    spec: _Spec = msgspec.field(default_factory=_Spec)


class LeaseCandidate:
    """Runs an election: reads and writes the Lease, says when leadership begins and ends."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        election: Election,
        changed: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        """``changed`` is called whenever `leads` has begun or ceased to be true."""
        self.election = election
        self._api = api
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._meta = _Meta(name, namespace)
        self._changed = changed
        self._clock = clock
        self._said: bool | None = None
        self._holder = ""
        self._problem = ""
        self._unanswered = False
        """Whether a write was sent of which nobody said what became of it."""

    @property
    def leads(self) -> bool:
        """Whether this replica leads now."""
        return self.election.leads(self._clock())

    async def run(self) -> None:
        """Stand for election until cancelled; then `resign`."""
        while True:
            now, due, end = self._clock(), self.election.due, self.election.until
            if now < due:
                # A leader wakes when its time is up, too, whether or not it has something to ask then.
                await asyncio.sleep((min(due, end) if end is not None and end > now else due) - now)
                self._announce()
                continue
            # While the API server is slow to answer, leadership may end; that must not wait for the answer.
            asking = asyncio.create_task(self._ask())
            try:
                while not asking.done():
                    end = self.election.until if self._said else None
                    wait = None if end is None else max(0.0, end - self._clock())
                    await asyncio.wait({asking}, timeout=wait)
                    self._announce()
            finally:
                if not asking.done():
                    asking.cancel()
                    await asyncio.wait({asking})
            await asking

    async def resign(self) -> None:
        """Give the Lease up, so that another replica leads at once. Failures are logged: the Lease runs out anyway."""
        release = self.election.resign(self._clock(), _stamp())
        self._announce()
        try:
            async with asyncio.timeout(RESIGN_SECONDS):
                if (release is None and self._unanswered) or (release is not None and not await self._give_up(release)):
                    # A write that was under way when we were stopped: see what became of it.
                    await self._do(Read())
                    release = self.election.resign(self._clock(), _stamp())
                    if release is not None:
                        await self._give_up(release)
        except (ApiFailure, TimeoutError) as error:
            log.warning("lease not given up; others wait until it runs out", extra={"problem": str(error) or "timeout"})

    async def _give_up(self, release: Write) -> bool:
        try:
            await self._put(release)
        except Refused as refused:
            if refused.code != 409:
                raise
            return False
        log.info("lease given up", extra={"lease": self._meta.name})
        return True

    async def _ask(self) -> None:
        try:
            # An answer that comes later than this would not be worth anything.
            async with asyncio.timeout(self.election.terms.deadline):
                await self._do(self.election.ask(self._clock(), _stamp()))
        except (ApiFailure, TimeoutError) as error:
            if isinstance(error, Refused) and error.code == 409:
                self.election.conflicted(self._clock())
            else:
                self.election.failed(self._clock())
                self._complain(str(error) or "no answer in time")
            return
        self._complain("")

    async def _do(self, ask: Read | Write) -> None:
        if isinstance(ask, Write):
            self.election.wrote(ask, await self._put(ask))
            return
        try:
            answer = await self._api.request("GET", f"{self._collection}/{self._meta.name}")
        except Refused as refused:
            if refused.code != 404:
                raise
            self._meta = _Meta(self._meta.name, self._meta.namespace)
            self.election.saw(None, "", self._clock())
            return
        lease = _decode(answer)
        self._meta = lease.metadata
        self.election.saw(_record(lease.spec), lease.metadata.version, self._clock())

    async def _put(self, write: Write) -> str:
        body = _Lease(msgspec.structs.replace(self._meta, version=write.version), spec=_spec(write.record))
        self._unanswered = True
        try:
            if write.version:
                answer = await self._api.request("PUT", f"{self._collection}/{self._meta.name}", body=body)
            else:
                answer = await self._api.request("POST", self._collection, body=body)
        except Refused as refused:
            self._unanswered = refused.code >= 500
            raise
        self._unanswered = False
        lease = _decode(answer)
        self._meta = lease.metadata
        return lease.metadata.version

    def _announce(self) -> None:
        leads = self.leads
        if self.election.holder != self._holder:
            self._holder = self.election.holder
            if not leads:
                log.info("leader is another", extra={"leader": self._holder or "nobody"})
        if leads is not self._said:
            said, self._said = self._said, leads
            if leads:
                log.info("leading", extra={"identity": self.election.identity})
            elif said:
                log.info("leading no more", extra={"identity": self.election.identity})
            self._changed()

    def _complain(self, problem: str) -> None:
        if problem and problem != self._problem:
            log.warning("lease cannot be read or written", extra={"lease": self._meta.name, "problem": problem})
        self._problem = problem


def _decode(answer: bytes) -> _Lease:
    try:
        return msgspec.json.decode(answer, type=_Lease)
    except msgspec.MsgspecError as error:
        raise Unreachable(f"no Lease: {error}") from None


def _record(spec: _Spec) -> Record:
    return Record(
        spec.holder_identity or "",
        float(spec.lease_duration_seconds or 0),
        spec.renew_time or "",
        spec.acquire_time or "",
        spec.lease_transitions or 0,
    )


def _spec(record: Record) -> _Spec:
    # The field has whole seconds, and others may rely on no less than what we do: rounded up.
    seconds = int(-(-record.duration // 1))
    return _Spec(record.holder, seconds, record.acquired or None, record.renewed, record.transitions)


def _stamp() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
