"""Body-based routing runs while a route needs it; the proxy is told when it serves, and before it ends."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import pytest
from tests.gateway.gateway_manifests import ROUTE, parse
from tests.gateway.test_gateway_cluster import SERVE, running

from signalbox.bbr import MANAGED_LABEL
from signalbox.bbr.base_models import read_base_models
from signalbox.gateway import body_routing
from signalbox.gateway.addresses import Lease
from signalbox.gateway.body_routing import CONFIG_MAPS_FILE, GRPC_PORT, router_command, write_config_maps
from signalbox.gateway.desired import sort_out
from signalbox.gateway.supervisor import Command
from signalbox.resources import ConfigMap
from signalbox.sources import ManifestReader

MATCHES = "matches: [{headers: [{name: X-Gateway-Model-Name, value: m}]}], "
BY_MODEL = ROUTE.replace("[{backendRefs", f"[{{{MATCHES}backendRefs")
LABELLED = (
    f"{{apiVersion: v1, kind: ConfigMap, metadata: {{name: %s, namespace: %s, labels: {{{MANAGED_LABEL}: 'true'}}}}"
)


@pytest.fixture(autouse=True)
def tiny_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that listens and says nothing."""

    def command(_source: Path, lease: Lease, _limit: int) -> Command:
        return Command("bbr", (sys.executable, "-I", "-S", "-c", SERVE, lease.host, str(lease.ports[GRPC_PORT])))

    monkeypatch.setattr(body_routing, "router_command", command)


async def test_it_comes_and_goes_with_the_route_and_the_proxy_knows_only_one_that_serves(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        run.want(ROUTE)
        await run.serving(0)
        assert run.proxy.body_router == ""
        run.want(BY_MODEL)
        await run.says("bbr", "starting: HTTPRoutes match on the body's model")
        assert run.proxy.body_router == "", "it does not serve yet"
        assert not run.cluster.settled
        await run.says("bbr", "ready")
        await run.serving(0)
        assert run.proxy.body_router.endswith(f":{GRPC_PORT}")
        run.want(ROUTE)
        await run.says("bbr", "stopping: no HTTPRoute matches on the body's model")
        assert run.proxy.body_router == "", "the proxy no longer asks it when it ends"
        await run.serving(0)


async def test_one_that_comes_back_is_told_again_only_when_it_serves(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        for _ in range(2):
            run.want(BY_MODEL)
            await run.says("bbr", "starting")
            assert run.proxy.body_router == ""
            await run.says("bbr", "ready")
            await run.serving(0)
            assert run.proxy.body_router
            run.want(ROUTE)
            await run.says("bbr", "stopping")


def test_labelled_config_maps_of_every_namespace_reach_it_as_one(tmp_path: Path) -> None:
    texts = (
        LABELLED % ("m", "one") + ", data: {baseModel: a, adapters: '[x]'}}",
        LABELLED % ("m", "two") + ", data: {baseModel: b}}",
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: other}, data: {baseModel: c}}",
    )
    config_maps = sort_out(parse("\n---\n".join(texts))).config_maps
    assert write_config_maps(tmp_path, config_maps)
    assert not write_config_maps(tmp_path, config_maps), "no news"
    manifests = ManifestReader([tmp_path / CONFIG_MAPS_FILE]).read()
    assert manifests.problems == ()
    models, problems = read_base_models([each for each in manifests.resources if isinstance(each, ConfigMap)])
    assert problems == ()
    assert dict(models.by_name) == {"a": "a", "x": "a", "b": "b"}


def test_none_at_all_are_a_document_too(tmp_path: Path) -> None:
    write_config_maps(tmp_path, {})
    assert ManifestReader([tmp_path]).read().problems == ()


def test_its_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    command = router_command(Path("d"), Lease("127.0.2.9", {9004: 1, 9005: 2, 9090: 3}, ()), (1 << 20) + 1)
    flags = dict(pairwise(command.argv))
    assert command.argv[1:4] == ("-m", "signalbox", "bbr")
    assert (flags["--grpc-port"], flags["--grpc-health-port"], flags["--metrics-port"]) == ("1", "2", "3")
    assert (flags["--source"], flags["--grpc-host"], flags["--body-limit"]) == ("d", "127.0.2.9", "2")
    assert command.argv[-1] == "--secure-serving=false"
