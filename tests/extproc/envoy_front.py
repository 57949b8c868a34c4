"""A real Envoy with one listener for each way to set up its ext_proc filter, before a whole picker."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from tests.cli.pickers import Running, running_picker, write_source
from tests.extproc.model_servers import DESTINATION, SERVERS, ModelServers
from tests.extproc.one_room import EVICTING, FLOW
from tests.wire.authority import Authority

from signalbox.gateway.envoy import find_envoy

Json = dict[str, Any]

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_BALANCING = "envoy.extensions.load_balancing_policies"
_TLS = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"


def typed(name: str, **fields: Any) -> Json:
    """A ``google.protobuf.Any`` of this type."""
    return {"@type": f"type.googleapis.com/{name}", **fields}


@dataclass(frozen=True)
class Front:
    """One listener: the body modes, and what else of its ext_proc filter is out of the ordinary."""

    request: str
    response: str
    name: str = ""
    picker: str = "plaintext"
    modes: Mapping[str, str] = field(default_factory=dict)
    mode_override: bool = True
    buffer_limit: int = 1 << 20
    message_timeout: str = "10s"
    stream_idle_timeout: str = "300s"

    @property
    def id(self) -> str:
        """The listener's name."""
        return self.name or f"{self.request}-{self.response}"

    def listener(self) -> Json:
        """Its configuration."""
        duplex = "FULL_DUPLEX_STREAMED"
        processing = {
            "request_header_mode": "SEND",
            "request_body_mode": self.request,
            "request_trailer_mode": "SEND" if self.request == duplex else "SKIP",
            "response_header_mode": "SEND",
            "response_body_mode": self.response,
            "response_trailer_mode": "SEND" if self.response == duplex else "SKIP",
            **self.modes,
        }
        picker = typed(
            "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
            grpc_service={"envoy_grpc": {"cluster_name": self.picker}},
            message_timeout=self.message_timeout,
            allow_mode_override=self.mode_override,
            processing_mode=processing,
            mutation_rules={"allow_all_routing": True, "allow_envoy": True},
            metadata_options={"receiving_namespaces": {"untyped": ["envoy.lb"]}},
        )
        router = typed("envoy.extensions.filters.http.router.v3.Router")
        manager = typed(
            _HCM,
            stat_prefix="front",
            stream_idle_timeout=self.stream_idle_timeout,
            http_protocol_options={"enable_trailers": True},
            http_filters=[
                {"name": "envoy.filters.http.ext_proc", "typed_config": picker},
                {"name": "envoy.filters.http.router", "typed_config": router},
            ],
            route_config={
                "virtual_hosts": [
                    {
                        "name": "all",
                        "domains": ["*"],
                        "routes": [
                            {"match": {"prefix": prefix}, "route": {"cluster": cluster, "timeout": "0s"}}
                            for prefix, cluster in (("/trailers", "trailers"), ("/", "pool"))
                        ],
                    }
                ]
            },
        )
        return {
            "name": self.id,
            "address": _address("127.0.0.1", 0),
            "per_connection_buffer_limit_bytes": self.buffer_limit,
            "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
        }


@dataclass
class Answer:
    """An answer read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def routed(self) -> bool:
        """Whether it comes from the server the picker named."""
        picked = self.headers.get("x-picked", "")
        return bool(picked) and picked.split(",", 1)[0] == self.headers["x-server"]


class Fronts:
    """Envoy with all its listeners, the pickers behind them, and a client."""

    def __init__(
        self,
        ports: Mapping[str, int],
        pickers: Mapping[str, Running],
        servers: ModelServers,
        client: aiohttp.ClientSession,
    ) -> None:
        self.pickers, self.servers, self.client = pickers, servers, client
        self._ports = ports

    def url(self, front: Front, path: str) -> str:
        """Where this listener is reached."""
        return f"http://127.0.0.1:{self._ports[front.id]}{path}"

    async def ask(
        self, front: Front, path: str = "/v1/completions", body: bytes | AsyncIterator[bytes] | None = None
    ) -> Answer:
        """POST ``body``; GET without one."""
        method = "GET" if body is None else "POST"
        headers = {} if body is None else {"content-type": "application/json"}
        data = io.BytesIO(body) if isinstance(body, bytes) else body
        async with self.client.request(method, self.url(front, path), data=data, headers=headers) as answer:
            return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, await answer.read())

    async def output_tokens(self, front: Front) -> float:
        """How many generated tokens the picker has seen reported."""
        url = f"http://127.0.0.1:{self.pickers[front.picker].picker.metrics_port}/metrics"
        async with self.client.get(url) as answer:
            lines = (await answer.text()).splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("inference_model_output_tokens_sum"))

    async def send(self, front: Front, request: bytes) -> bytes:
        """Send a whole HTTP/1.1 request, byte for byte; return all that comes back until Envoy closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._ports[front.id])
        try:
            writer.write(request)
            async with asyncio.timeout(20):
                return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()


@asynccontextmanager
async def running_fronts(directory: Path, fronts: Sequence[Front]) -> AsyncIterator[Fronts]:
    """Run model servers, pickers (plaintext, one where requests wait, TLS, TLS for certified clients) and an Envoy."""
    async with AsyncExitStack() as stack:
        servers = ModelServers()
        await servers.start(stack)
        pods = {f"pod-{number}": host for number, host in enumerate(SERVERS)}
        source = write_source(directory / "source", pods, servers.port)
        authority = Authority()
        authority.issue(directory / "picker", "epp.svc")
        authority.issue(directory / "gateway", "gateway")
        ca = str(authority.file(directory / "ca.crt"))
        flags = {
            "plaintext": ("--secure-serving=false",),
            "leaving": ("--secure-serving=false",),
            "small": ("--secure-serving=false", "--body-limit", "1"),
            "tls": (),
            "queueing": ("--secure-serving=false", "--config-text", FLOW),
            "closing": ("--secure-serving=false", "--config-text", FLOW, "--drain-seconds", "1"),
            "evicting": ("--secure-serving=false", "--config-text", EVICTING),
            "certified": ("--cert-path", str(directory / "picker"), "--client-ca-file", ca),
        }
        pickers = {name: await stack.enter_async_context(running_picker(source, *more)) for name, more in flags.items()}
        clusters = {
            "plaintext": ("plaintext", {}),
            "leaving": ("leaving", {}),
            "small": ("small", {}),
            "queueing": ("queueing", {}),
            "closing": ("closing", {}),
            "evicting": ("evicting", {}),
            "tls": ("tls", _tls_socket()),  # as gateways do by default: checks nothing
            "certified": ("certified", _tls_socket(ca, directory / "gateway")),
            "tls-asked-in-plaintext": ("tls", {}),
            "plaintext-asked-over-tls": ("plaintext", _tls_socket()),
            "certified-asked-without-certificate": ("certified", _tls_socket(ca)),
        }
        bootstrap = {
            "admin": {"address": _address("127.0.0.1", 0)},
            "static_resources": {
                "listeners": [front.listener() for front in fronts],
                "clusters": [
                    _pool(servers.port),
                    _http("trailers", ((SERVERS[0], servers.trailers_port),)),
                    *(
                        _picker(name, pickers[picker].picker.grpc_port, socket)
                        for name, (picker, socket) in clusters.items()
                    ),
                ],
            },
        }
        ports = await stack.enter_async_context(_envoy(directory, bootstrap))
        client = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)))
        yield Fronts(ports, pickers, servers, client)


def refusal(directory: Path, front: Front) -> str:
    """Why Envoy does not accept a listener; empty if it does."""
    clusters = [_http(name, ()) for name in ("pool", "trailers", front.picker)]
    config = directory / "refused.json"
    config.write_text(json.dumps({"static_resources": {"listeners": [front.listener()], "clusters": clusters}}))
    command = [str(find_envoy()), "--mode", "validate", "--config-path", str(config), "--use-dynamic-base-id"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.stderr if done.returncode else ""


@asynccontextmanager
async def _envoy(directory: Path, bootstrap: Json) -> AsyncIterator[dict[str, int]]:
    """Run Envoy; give the port of each listener."""
    (directory / "envoy.json").write_text(json.dumps(bootstrap))
    admin = directory / "admin"
    process = await asyncio.create_subprocess_exec(
        *(str(find_envoy()), "--config-path", str(directory / "envoy.json"), "--admin-address-path", str(admin)),
        *("--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning"),
        *("--log-path", str(directory / "envoy.log")),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(30), aiohttp.ClientSession() as session:
            while True:
                assert process.returncode is None, (directory / "envoy.log").read_text()
                try:
                    async with session.get(f"http://{admin.read_text()}/ready") as answer:
                        if answer.status == 200:
                            break
                except (OSError, aiohttp.ClientError, aiohttp.InvalidURL):
                    pass
                await asyncio.sleep(0.02)
            async with session.get(f"http://{admin.read_text()}/listeners?format=json") as answer:
                listed = json.loads(await answer.read())["listener_statuses"]
        yield {one["name"]: one["local_address"]["socket_address"]["port_value"] for one in listed}
    finally:
        process.kill()
        await process.wait()


def _address(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}


def _members(cluster: str, *addresses: tuple[str, int]) -> Json:
    return {
        "cluster_name": cluster,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(*address)}} for address in addresses]}],
    }


def _pool(port: int) -> Json:
    fallback = {"name": "round_robin", "typed_config": typed(f"{_BALANCING}.round_robin.v3.RoundRobin")}
    chosen = typed(
        f"{_BALANCING}.override_host.v3.OverrideHost",
        override_host_sources=[{"header": DESTINATION}],
        fallback_policy={"policies": [{"typed_extension_config": fallback}]},
    )
    policy = {"typed_extension_config": {"name": "override_host", "typed_config": chosen}}
    return _http("pool", ((host, port) for host in SERVERS)) | {"load_balancing_policy": {"policies": [policy]}}


def _http(name: str, addresses: Iterable[tuple[str, int]]) -> Json:
    http = {"explicit_http_config": {"http_protocol_options": {"enable_trailers": True}}}
    return {
        "name": name,
        "type": "STATIC",
        "load_assignment": _members(name, *addresses),
        "typed_extension_protocol_options": {_HTTP_OPTIONS: typed(_HTTP_OPTIONS, **http)},
    }


def _picker(name: str, port: int, socket: Json) -> Json:
    http: Json = {"explicit_http_config": {"http2_protocol_options": {}}}
    return {
        "name": name,
        "type": "STATIC",
        "load_assignment": _members(name, ("127.0.0.1", port)),
        "typed_extension_protocol_options": {_HTTP_OPTIONS: typed(_HTTP_OPTIONS, **http)},
        **socket,
    }


def _tls_socket(ca: str | None = None, own: Path | None = None) -> Json:
    common: Json = {}
    if own is not None:
        common["tls_certificates"] = [
            {"certificate_chain": {"filename": str(own / "tls.crt")}, "private_key": {"filename": str(own / "tls.key")}}
        ]
    if ca is not None:
        names = [{"san_type": "DNS", "matcher": {"exact": "epp.svc"}}]
        common["validation_context"] = {"trusted_ca": {"filename": ca}, "match_typed_subject_alt_names": names}
    context = typed(_TLS, common_tls_context=common)
    return {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context}}
