"""Which service names a picker's health answers to."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web
from tests.cli.pickers import PORTS, parse
from tests.cluster.fake_api import connected, status

from signalbox.cli.in_cluster import InCluster
from signalbox.cli.picker import HEALTH_SERVICES, Picker
from signalbox.pool import Pool
from signalbox.wire import ServingStatus

PLAIN = "--secure-serving=false"


async def nothing(_request: web.Request) -> web.Response:
    return status(503)


@pytest.mark.parametrize("election", [False, True], ids=["without election", "with election"])
async def test_other_names_are_answered_like_readiness_where_no_replica_waits_for_another(
    tmp_path: Path, election: bool
) -> None:
    flags = ("--ha-enable-leader-election",) if election else ()
    options = parse(*PORTS, PLAIN, "--pool-name", "p", *flags)
    async with connected(tmp_path, nothing) as (api, _):
        pool = Pool("p")
        cluster = InCluster(options, api, pool, {})
        picker = Picker(options, cluster.source, pool, {}, cluster)
        expected = ServingStatus.SERVICE_UNKNOWN if election else ServingStatus.NOT_SERVING
        assert picker._status("whatever.a.probe.names") is expected
        for service in HEALTH_SERVICES - {"liveness"}:
            assert picker._status(service) is ServingStatus.NOT_SERVING
        assert picker._status("liveness") is ServingStatus.SERVING
