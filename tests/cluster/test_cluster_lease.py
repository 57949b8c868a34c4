"""Standing for election over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from tests.cluster.fake_api import connected, status

from signalbox.cluster import Api, Election, LeaseCandidate, Terms, lease_name

TERMS = Terms(lease=1.5, deadline=1.0, retry=0.05)
COLLECTION = "/apis/coordination.k8s.io/v1/namespaces/ns/leases"


class Leases:
    """Keeps one Lease as an API server does; ``down`` makes it answer 500."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.down = False

    async def __call__(self, request: web.Request) -> web.Response:
        if self.down:
            return status(500, "etcd is gone")
        if request.method == "GET":
            return status(404) if self.lease is None else web.json_response(self.lease)
        sent = await request.json()
        known = None if self.lease is None else self.lease["metadata"]["resourceVersion"]
        if sent["metadata"].get("resourceVersion") != known:
            return status(409, "the object has been modified")
        self.version += 1
        sent["metadata"]["resourceVersion"] = str(self.version)
        self.lease = sent
        return web.json_response(sent)

    @property
    def holder(self) -> str:
        """Who holds it."""
        assert self.lease is not None
        return str(self.lease["spec"]["holderIdentity"])


class Candidate:
    """A candidate that runs, and what it announced."""

    def __init__(self, api: Api, identity: str) -> None:
        self.changed = asyncio.Event()
        self.candidate = LeaseCandidate(api, "ns", "lease", Election(identity, TERMS), self.changed.set, time.monotonic)

    async def until(self, leads: bool) -> None:
        """Wait until it leads, or does not."""
        async with asyncio.timeout(20):
            while self.candidate.leads is not leads:
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def standing(api: Api, identity: str) -> AsyncIterator[Candidate]:
    """Let a candidate stand until the block ends."""
    candidate = Candidate(api, identity)
    task = asyncio.create_task(candidate.candidate.run())
    try:
        yield candidate
    finally:
        task.cancel()
        await asyncio.wait({task})


def test_the_lease_is_called_as_the_references() -> None:
    assert lease_name("ns", "pool") == "epp-ns-pool.gateway-api-inference-extension.sigs.k8s.io"


async def test_the_first_creates_the_lease_and_writes_what_others_read(tmp_path: Path) -> None:
    leases = Leases()
    async with connected(tmp_path, leases) as (api, fake), standing(api, "a") as first:
        await first.until(True)
        assert leases.lease is not None
        spec = leases.lease["spec"]
        assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("a", 2, 0)
        assert spec["renewTime"].endswith("Z")
        assert fake.paths[:2] == [f"GET {COLLECTION}/lease", f"POST {COLLECTION}"]


async def test_a_lease_that_is_given_up_is_anothers_at_once(tmp_path: Path) -> None:
    leases = Leases()
    async with connected(tmp_path, leases) as (api, _), AsyncExitStack() as stack:
        first_stands = standing(api, "a")
        first = await first_stands.__aenter__()
        await first.until(True)
        second = await stack.enter_async_context(standing(api, "b"))
        await first_stands.__aexit__(None, None, None)
        assert not second.candidate.leads
        await first.candidate.resign()
        assert not first.candidate.leads
        await second.until(True)
        assert leases.holder == "b"


async def test_a_leader_whose_api_server_fails_ceases_at_its_deadline_and_says_so(tmp_path: Path) -> None:
    leases = Leases()
    async with connected(tmp_path, leases) as (api, _), standing(api, "a") as first:
        await first.until(True)
        leases.down = True
        await first.until(False)
        leases.down = False
        await first.until(True)


async def test_giving_up_after_a_write_that_was_cut_off_looks_what_became_of_it(tmp_path: Path) -> None:
    leases = Leases()
    async with connected(tmp_path, leases) as (api, _):
        async with standing(api, "a") as first:
            await first.until(True)
        assert leases.lease is not None
        leases.version += 1  # a write that was under way when it was stopped
        leases.lease["metadata"]["resourceVersion"] = str(leases.version)
        await first.candidate.resign()
        assert leases.holder == ""


async def test_a_lease_whose_creation_was_cut_off_is_given_up_too(tmp_path: Path) -> None:
    """SIGTERM while the first POST is under way: the server has done it, and nobody heard."""
    leases, created, never = Leases(), asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        answer = await leases(request)
        if request.method == "POST":
            created.set()
            await never.wait()
        return answer

    async with connected(tmp_path, slow) as (api, _):
        async with standing(api, "a") as first:
            await created.wait()
        assert leases.holder == "a"
        await first.candidate.resign()
        assert leases.holder == ""


async def test_what_others_wrote_into_the_lease_besides_stays(tmp_path: Path) -> None:
    leases = Leases()
    leases.version = 1
    meta = {"name": "lease", "namespace": "ns", "resourceVersion": "1", "labels": {"team": "serving"}}
    leases.lease = {"metadata": meta, "spec": {"holderIdentity": "", "leaseDurationSeconds": 1}}
    async with connected(tmp_path, leases) as (api, _), standing(api, "a") as first:
        await first.until(True)
        assert leases.lease["metadata"]["labels"] == {"team": "serving"}
