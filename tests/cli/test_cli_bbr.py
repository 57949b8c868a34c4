"""``signalbox bbr`` as a process part: ports, TLS, health, metrics, base models, the end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import grpc.aio
import pytest
from aiohttp import web
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from tests.cli.body_routers import PLAIN, parse, running
from tests.cli.dialogue import PROCESS, body, opening
from tests.cli.pickers import PORTS, channel_to
from tests.cluster.fake_api import connected, kubeconfig, status
from tests.wire.authority import Authority
from typer.testing import CliRunner

from signalbox.bbr import BASE_MODEL_HEADER, MANAGED_LABEL, MODEL_HEADER, ClusterModels
from signalbox.cli.bbr import BodyRouter, reach_cluster
from signalbox.cli.bbr_plugins import plugin_notes
from signalbox.cli.main import app
from signalbox.cli.stopping import Stop
from signalbox.cluster import NoAccess

CHECK = "/grpc.health.v1.Health/Check"
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"


async def lift(router: BodyRouter, data: bytes, credentials: Any = None, name: str = "") -> dict[str, str]:
    """The headers that a whole request comes back with."""
    async with channel_to(f"127.0.0.1:{router.grpc_port}", credentials, name) as channel:
        call = channel.stream_stream(PROCESS)()
        await call.write(opening("BUFFERED", "NONE").SerializeToString())
        assert ext_proc.ProcessingResponse.FromString(await call.read()).HasField("request_headers")
        await call.write(body(data).SerializeToString())
        answer = ext_proc.ProcessingResponse.FromString(await call.read())
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
    changed = answer.request_body.response.header_mutation.set_headers
    return {each.header.key: each.header.raw_value.decode() for each in changed}


async def health(router: BodyRouter, service: bytes) -> bytes:
    async with channel_to(f"127.0.0.1:{router.health_port}") as channel:
        answer: bytes = await channel.unary_unary(CHECK)(b"\x0a" + bytes([len(service)]) + service)
        return answer


def test_the_defaults_are_the_references() -> None:
    options = parse()
    assert (options.grpc_port, options.health_port, options.metrics_port) == (9004, 9005, 9090)
    assert (options.secure_serving, options.streaming, options.source) == (True, False, None)


def test_the_namespace_comes_from_the_flag_the_environment_or_is_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAMESPACE", raising=False)
    assert parse().namespace == "default"
    monkeypatch.setenv("NAMESPACE", "models")
    assert parse().namespace == "models"
    assert parse("--namespace", "other").namespace == "other"


def test_switches_take_values_as_go_programs_do() -> None:
    assert parse("--streaming=true", "--secure-serving=false", "-v", "4", "--zap-encoder", "json").streaming


async def test_a_models_name_and_base_come_back_as_headers(tmp_path: Path) -> None:
    metadata = f"{{name: m, labels: {{{MANAGED_LABEL}: 'true'}}}}"
    text = f"{{apiVersion: v1, kind: ConfigMap, metadata: {metadata}, data: {{baseModel: qwen, adapters: '[a]'}}}}"
    (tmp_path / "models.yaml").write_text(text)
    async with running(PLAIN, "--source", str(tmp_path)) as (router, _):
        assert await lift(router, b'{"model": "a"}') == {MODEL_HEADER: "a", BASE_MODEL_HEADER: "qwen"}
    async with running(PLAIN) as (router, _):
        assert await lift(router, b'{"model": "a"}') == {MODEL_HEADER: "a"}


async def test_it_serves_over_tls_with_the_certificate_it_is_given(tmp_path: Path) -> None:
    authority = Authority()
    authority.issue(tmp_path)
    async with running("--cert-path", str(tmp_path)) as (router, _):
        credentials = grpc.ssl_channel_credentials(authority.pem)
        assert await lift(router, b'{"model": "a"}', credentials, "localhost") == {MODEL_HEADER: "a"}


async def test_health_is_the_same_for_every_name_and_ends_with_the_drain() -> None:
    async with running(PLAIN) as (router, stop):
        for service in (b"", b"envoy.service.ext_proc.v3.ExternalProcessor", b"anything"):
            assert await health(router, service) == SERVING
        async with channel_to(f"127.0.0.1:{router.grpc_port}") as channel:
            call = channel.stream_stream(PROCESS)()
            await call.write(opening("BUFFERED", "NONE").SerializeToString())
            await call.read()
            stop.ask()
            async with asyncio.timeout(10):
                while await health(router, b"") != NOT_SERVING:
                    pass
            await call.write(body(b'{"model": "a"}').SerializeToString())
            answer = ext_proc.ProcessingResponse.FromString(await call.read())
            assert answer.HasField("request_body"), "what has begun is finished"


async def test_a_delay_leaves_the_port_open_while_health_says_not_serving() -> None:
    async with running(PLAIN, "--drain-delay", "600") as (router, stop):
        stop.ask()
        async with asyncio.timeout(10):
            while await health(router, b"") != NOT_SERVING:
                pass
        assert await lift(router, b'{"model": "a"}') == {MODEL_HEADER: "a"}


async def test_with_a_cluster_it_serves_once_config_maps_were_read_and_lives_before(tmp_path: Path) -> None:
    allowed, asked = asyncio.Event(), asyncio.Event()

    async def config_maps(request: web.Request) -> web.StreamResponse:
        asked.set()
        if not allowed.is_set():
            return status(403, "configmaps is forbidden")
        if "watch" in request.query:
            await asyncio.sleep(3600)
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})

    async with connected(tmp_path, config_maps) as (api, _):
        router, stop = BodyRouter(parse(*PORTS, PLAIN), ClusterModels(api, "ns")), Stop()
        running = asyncio.create_task(router.run(stop))
        await router.listening.wait()
        await asked.wait()
        assert await health(router, b"") == NOT_SERVING
        assert await health(router, b"liveness") == SERVING
        allowed.set()
        async with asyncio.timeout(20):
            while await health(router, b"readiness") != SERVING:
                pass
        stop.ask()
        await running


async def test_metrics_count_what_became_of_bodies() -> None:
    async with running(PLAIN) as (router, _), aiohttp.ClientSession() as session:
        await lift(router, b'{"model": "a"}')
        async with session.get(f"http://127.0.0.1:{router.metrics_port}/metrics") as page:
            text = await page.text()
    assert "bbr_success_total 1.0" in text
    duration = 'extension_point="ProcessRequest",plugin_name="body-field-to-header",plugin_type="body-field-to-header"'
    assert f"bbr_plugin_duration_seconds_count{{{duration}}} 1.0" in text


@pytest.mark.parametrize(
    ("flags", "status", "complaint"),
    [
        (("--source", "/nonexistent"), 2, "--source /nonexistent: no such directory"),
        (("--log-format", "xml"), 2, "--log-format xml: use json or console"),
        (("--secure-serving=false", "--cert-path", "/x"), 2, "--cert-path /x is for TLS"),
        (("--cert-path", "/nonexistent"), 2, "/nonexistent"),
        (("--streaming=maybe",), 2, "'maybe' is neither true nor false"),
        (("--metrics-endpoint-auth", PLAIN), 2, "--metrics-endpoint-auth asks an API server"),
        (("--plugin", "guardrail:g", PLAIN), 2, "'guardrail' is not done here"),
        (("--tls-min-version", "1.3"), 2, "--tls-min-version"),
        (("--grpc-host", "203.0.113.1", PLAIN), 1, "choose another with --metrics-port"),
    ],
)
def test_what_cannot_work_is_said_with_the_flag(flags: tuple[str, ...], status: int, complaint: str) -> None:
    result = CliRunner(env={"KUBECONFIG": None}).invoke(app, ["bbr", *PORTS, *flags])
    assert result.exit_code == status
    assert complaint in result.output


REFERENCE = (
    *("-grpcPort", "9004", "--grpc-health-port=9005", "--metrics-port", "9090", "--secure-serving=true"),
    *("--streaming", "--enable-pprof=true", "--tracing=false", "-v", "3"),
    *("--plugin", 'body-field-to-header:model:{"fieldName": "model", "headerName": "X-Gateway-Model-Name"}'),
)


def test_the_references_own_flags_are_accepted_and_those_without_effect_are_said() -> None:
    options = parse(*REFERENCE, "--plugin=base-model-to-header:base")
    assert (options.streaming, options.verbosity, options.metrics_endpoint_auth) == (True, 3, None)
    assert [note.partition(" ")[0] for note in options.notes] == ["--enable-pprof", "--tracing"]
    assert len(plugin_notes(options.plugins)) == 2
    assert parse("--metrics-endpoint-auth=false").metrics_endpoint_auth is False
    assert parse("--metrics-endpoint-auth").metrics_endpoint_auth is True


def test_an_api_server_is_followed_only_where_there_is_a_sign_of_one(tmp_path: Path) -> None:
    config = kubeconfig(tmp_path / "config", "http://127.0.0.1:1", token="t")
    assert reach_cluster(parse(), {}) is None
    assert reach_cluster(parse(), {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}) is None, "a pod without a token wants none"
    assert str(reach_cluster(parse("--kubeconfig", str(config)), {})) == f"kubeconfig {config}"
    assert str(reach_cluster(parse(), {"KUBECONFIG": str(config)})) == f"kubeconfig {config}"
    assert reach_cluster(parse("--source", str(tmp_path)), {"KUBECONFIG": str(config)}) is None
    with pytest.raises(ValueError, match="drop it, or --source"):
        reach_cluster(parse("--source", str(tmp_path), "--kubeconfig", str(config)), {})
    with pytest.raises(NoAccess, match="/nonexistent"):
        reach_cluster(parse("--kubeconfig", "/nonexistent"), {})
