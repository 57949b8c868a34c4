"""Real servers given by URL: checked, resolved, and made members of a pool."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from signalbox.gateway.health import Failure, HealthWatch, answers
from signalbox.gateway.local_pod import Surroundings
from signalbox.gateway.members import Member, Phase
from signalbox.gateway.probes import Method, Probe, Probes, Role, Timing
from signalbox.resources import InferencePool, Key, Origin, Resource, parse_resource

MADE_UP = "servers"
"""Name of the pool, the route and the gateway that are made up where no manifest gives them."""

_POLL = Timing(period=2.0, timeout=2.0, failure_threshold=2)


class BadServer(ValueError):
    """A ``--server`` value that cannot be used; the message names it and says what to write."""


@dataclass(frozen=True, slots=True)
class ServerURL:
    """An OpenAI-compatible server: where it is."""

    text: str
    host: str
    port: int


def parse_server(text: str) -> ServerURL:
    """Read a ``--server`` value. Raises ``BadServer``."""
    url = urlsplit(text if "://" in text else f"http://{text}")
    if url.scheme == "https":
        raise BadServer(f"--server {text}: upstream TLS is not supported yet; use an http:// address")
    if url.scheme != "http":
        raise BadServer(f"--server {text}: the scheme {url.scheme!r} is not http; write http://HOST:PORT")
    try:
        port = url.port
    except ValueError:
        raise BadServer(f"--server {text}: the port is not a number from 1 to 65535; write http://HOST:PORT") from None
    if not url.hostname or port == 0:
        raise BadServer(f"--server {text}: a host is missing; write http://HOST:PORT")
    if url.path.strip("/") not in ("", "v1") or url.query or url.fragment or url.username:
        raise BadServer(f"--server {text}: only host and port can be given, requests keep their own path")
    return ServerURL(text, url.hostname, 80 if port is None else port)


def resolve(server: ServerURL) -> str:
    """The address of a server's host, IPv4 before IPv6. Raises ``BadServer``."""
    try:
        return str(ipaddress.ip_address(server.host))
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise BadServer(f"--server {server.text}: the host {server.host!r} is not known ({error.strerror})") from None
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return str(found[0][4][0])


def pool_for(servers: Iterable[ServerURL], pools: tuple[InferencePool, ...]) -> InferencePool:
    """The one pool the servers belong to. Raises ``BadServer`` where that is not clear."""
    if len(pools) == 1:
        return pools[0]
    names = ", ".join(pool.metadata.name for pool in pools)
    given = " ".join(f"--server {server.text}" for server in servers)
    if pools:
        raise BadServer(f"{given}: the manifests hold several InferencePools ({names}); servers need exactly one")
    raise BadServer(f"{given}: the manifests hold no InferencePool; add one, or leave out the paths")


def made_up_resources(servers: Iterable[ServerURL]) -> tuple[Resource, ...]:
    """A pool, a gateway and a route that leads every request to it, passing model names through."""
    port = next(iter(servers)).port
    documents: list[dict[str, object]] = [
        {
            "apiVersion": "inference.networking.k8s.io/v1",
            "kind": "InferencePool",
            "metadata": {"name": MADE_UP},
            "spec": {
                "selector": {"matchLabels": {"app": MADE_UP}},
                "targetPorts": [{"number": port}],
                "endpointPickerRef": {"name": f"{MADE_UP}-epp", "port": {"number": 9002}, "failureMode": "FailOpen"},
            },
        },
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": MADE_UP},
            "spec": {
                "gatewayClassName": "signalbox",
                "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}],
            },
        },
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": MADE_UP},
            "spec": {
                "parentRefs": [{"name": MADE_UP}],
                "rules": [
                    {
                        "backendRefs": [
                            {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": MADE_UP}
                        ]
                    }
                ],
            },
        },
    ]
    origin = Origin("--server")
    return tuple(made for each in documents if isinstance(made := parse_resource(each, origin), Resource))


class ExternalServer:
    """A server somebody else runs: ready while it answers ``/health``, or ``/v1/models`` where it has no such path."""

    def __init__(self, server: ServerURL, address: str, pool: InferencePool, around: Surroundings) -> None:
        self.server = server
        self._address = address
        self._pool = pool.key
        self._labels = dict(pool.spec.selector.match_labels)
        self._around = around
        self._was_ready = False
        watched = Probe(Method.HTTP, server.port, _POLL)
        self._health = HealthWatch(
            Probes(readiness=watched),
            self._ask,
            self._readiness_changed,
            self._restart,
            time.monotonic,
            self._say_trouble,
            silent=0.0,  # it is not we who start it: nobody knows that it is about to answer
        )
        self._watch: asyncio.Task[None] | None = None

    @property
    def member(self) -> Member:
        """The server as the cluster sees it now."""
        if self._health.ready:
            phase = Phase.READY
        else:
            phase = Phase.NOT_READY if self._was_ready else Phase.STARTING
        name = re.sub(r"[^a-z0-9.]+", "-", f"{self.server.host}-{self.server.port}".lower())
        return Member(self._pool.namespace, name, self._labels, self._address, self.server.port, phase)

    @property
    def pool(self) -> Key:
        """The pool it belongs to."""
        return self._pool

    def start(self) -> None:
        """Begin to look after it."""
        self._health.process_started()
        self._watch = asyncio.create_task(self._health.run(), name=f"probe {self.server.text}")

    async def stop(self) -> None:
        """Stop looking."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})

    async def _ask(self, probe: Probe) -> Failure | None:
        failures: list[Failure] = []
        for path in ("/health", "/v1/models"):
            url = f"http://{self.member.address}{path}"
            failure = await answers(self._around.session, url, probe.timing.timeout)
            if failure is None:
                return None
            failures.append(failure)
        if failures[0] == failures[1]:
            return failures[0]
        reason = f"GET /health {failures[0].reason}, GET /v1/models {failures[1].reason}"
        return Failure(reason, any(failure.answered for failure in failures))

    def _say_trouble(self) -> None:
        self._around.say("server", f"{self.server.text} not ready: {self._health.trouble}")

    def _readiness_changed(self) -> None:
        self._was_ready = self._was_ready or self._health.ready
        self._around.say("server", f"{self.server.text} {self.member.phase}")
        self._around.changed()

    def _restart(self, role: Role) -> None:
        """Nobody's to restart: a server given by URL has no probe that asks for it."""
