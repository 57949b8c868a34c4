"""What stands during a run: the upstream, the picker, and gateways to send load through."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml

from bench import envoy_static as static
from bench.ports import free_port
from bench.processes import Process, python_module
from signalbox.gateway.envoy import EnvoyConfig, EnvoyFiles, Options, PoolBackend, translate
from signalbox.resources import FailureMode, Gateway, HTTPRoute, Key, Origin, parse_resource

POOL = "bench-pool"
MODEL_HOSTS = tuple(f"127.0.3.{number}" for number in range(1, 9))
_GATEWAY = "gateway.networking.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Way:
    """One way a request can take: where the load goes, and whose CPU time it costs."""

    key: str
    title: str
    port: int
    proxy: Process
    picker: Process | None = None
    stats: tuple[Path, str] | None = None
    """The proxy's admin address file and the stat prefix of the listener, where it is an Envoy with ext_proc."""
    aside: Process | None = None
    """A second server whose CPU counts as the picker's."""

    def url(self, streamed: bool = False) -> str:
        """Where to send requests."""
        return f"http://127.0.0.1:{self.port}/v1/completions" + (f"?{static.STREAM_QUERY}=1" if streamed else "")

    def picker_cpu_seconds(self) -> float:
        """CPU time of everything that answers Envoy, so far."""
        return sum(process.cpu_seconds() for process in (self.picker, self.aside) if process is not None)

    def messages_sent(self) -> int:
        """How many ext_proc messages Envoy has sent so far; 0 where there is no ext_proc."""
        if self.stats is None:
            return 0
        file, prefix = self.stats
        url = f"http://{file.read_text().strip()}/stats?filter=ext_proc.*stream_msgs_sent"
        with urllib.request.urlopen(url, timeout=5) as answer:
            text = answer.read().decode()
        return sum(int(count) for count in re.findall(rf"^http\.{prefix}\..*: (\d+)$", text, re.MULTILINE))


class Rig:
    """Starts processes and stops them all at the end."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="signalbox-bench-")))
        self.endpoints: tuple[str, ...] = ()
        """``ip:port`` of the model servers."""

    def __enter__(self) -> Self:
        # A run that is told to end must not leave its Envoys behind.
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def keep(self, process: Process) -> Process:
        """Stop ``process`` at the end."""
        self._stack.callback(process.stop)
        return process

    def start_upstream(self) -> None:
        """Start eight model servers: one Envoy with static answers, and the server that streams behind it."""
        port, stream_port = free_port(MODEL_HOSTS), free_port()
        argv = python_module("bench.servers.stream_server", str(stream_port), "127.0.0.1")
        streams = self.keep(Process("stream server", argv, self.directory / "streams.log"))
        streams.listening("127.0.0.1", stream_port)
        config = static.upstream(MODEL_HOSTS, port, f"127.0.0.1:{stream_port}")
        self.keep(static.start_envoy("upstream", self.directory, config, port, MODEL_HOSTS[0]))
        self.endpoints = tuple(f"{host}:{port}" for host in MODEL_HOSTS)

    def start_bare(self, module: str) -> tuple[Process, str]:
        """Start a bare ext_proc server; returns it and its ``ip:port``."""
        port = free_port()
        argv = python_module(f"bench.servers.{module}", str(port), ",".join(self.endpoints))
        process = self.keep(Process(module, argv, self.directory / f"{module}.log"))
        process.listening("127.0.0.1", port)
        return process, f"127.0.0.1:{port}"

    def start_picker(
        self,
        endpoints: Sequence[str],
        name: str = "picker",
        source_path: Path | None = None,
        *,
        tls: bool = False,
    ) -> tuple[Process, str]:
        """Start ``signalbox epp`` over these endpoints, which share a port; returns it and its ``ip:port``.

        It is the installed package, or the one in the folder ``source_path``. One InferenceModel rewrites
        ``food-review``; everything else is as it comes, but that it speaks plaintext unless ``tls``.
        """
        source = self.directory / f"{name}-source"
        source.mkdir()
        (source / "pool.yaml").write_text(pool_manifests(endpoints))
        ports = [free_port() for _ in range(3)]
        flags = ("--grpc-host", "127.0.0.1", "--grpc-port", str(ports[0]), "--grpc-health-port", str(ports[1]))
        more = ("--metrics-port", str(ports[2]), "--drain-seconds", "1", f"--secure-serving={str(tls).lower()}")
        argv = python_module("signalbox", "epp", "--source", str(source), *flags, *more)
        environment = dict(os.environ)
        if source_path is not None:
            environment["PYTHONPATH"] = str(source_path)  # goes before what is installed
        process = self.keep(Process(name, argv, self.directory / f"{name}.log", environment))
        process.listening("127.0.0.1", ports[0])
        self._wait_for_scrapes(ports[2], len(endpoints))
        return process, f"127.0.0.1:{ports[0]}"

    def start_gateway(
        self, picker: str, name: str = "gateway", edit: Callable[[EnvoyConfig], None] = lambda config: None
    ) -> tuple[Process, int, tuple[Path, str]]:
        """Start Envoy as `signalbox up` configures it; returns it, its port and where its statistics are.

        ``edit`` may change the configuration in place, to try what another one would cost.
        """
        port = free_port()
        directory = self.directory / name
        config = translate(
            [_gateway()],
            [_route()],
            [PoolBackend("default", POOL, self.endpoints, picker, FailureMode.FAIL_CLOSE)],
            [],
            Options(directory, {(Key("Gateway", "default", "gateway"), "http"): port}),
        )
        edit(config)
        EnvoyFiles(directory).write(config)
        envoy = self.keep(static.start_envoy(name, directory, directory / "bootstrap.json", port))
        return envoy, port, (static.admin_file(directory, name), f"port-{port}")

    def _wait_for_scrapes(self, metrics_port: int, endpoints: int, timeout: float = 30.0) -> None:
        """Return once the picker has read the metrics of every endpoint; raises TimeoutError."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/debug/pool", timeout=5) as answer:
                known = json.load(answer)["endpoints"]
            if len(known) == endpoints and all(one["scraped_seconds_ago"] is not None for one in known):
                return
            time.sleep(0.1)
        raise TimeoutError(f"the picker has not scraped all of {endpoints} endpoints after {timeout:g} s")


def pool_manifests(endpoints: Sequence[str]) -> str:
    """An InferencePool with one InferenceModel and a ready Pod for each endpoint, as YAML."""
    labels = {"app": "bench"}
    port = int(endpoints[0].rpartition(":")[2])
    group = "inference.networking.x-k8s.io/v1alpha2"
    pool = {"selector": labels, "targetPortNumber": port, "extensionRef": {"name": "picker"}}
    model = {
        "modelName": "food-review",
        "criticality": "Critical",
        "poolRef": {"name": POOL},
        "targetModels": [{"name": "food-review-1", "weight": 100}],
    }
    ready = [{"type": "Ready", "status": "True"}]
    documents = [
        {"apiVersion": group, "kind": "InferencePool", "metadata": {"name": POOL}, "spec": pool},
        {"apiVersion": group, "kind": "InferenceModel", "metadata": {"name": "food-review"}, "spec": model},
        *(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": f"server-{number}", "labels": dict(labels)},
                "status": {"podIP": endpoint.rpartition(":")[0], "conditions": ready},
            }
            for number, endpoint in enumerate(endpoints)
        ),
    ]
    return yaml.safe_dump_all(documents)


def _gateway() -> Gateway:
    listeners = [{"name": "http", "port": 80, "protocol": "HTTP"}]
    spec = {"gatewayClassName": "signalbox", "listeners": listeners}
    parsed = parse_resource(
        {"apiVersion": _GATEWAY, "kind": "Gateway", "metadata": {"name": "gateway"}, "spec": spec},
        Origin("bench", 1, 1),
    )
    assert isinstance(parsed, Gateway)
    return parsed


def _route() -> HTTPRoute:
    backend = {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": POOL}
    rule = {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": [backend]}
    spec = {"parentRefs": [{"name": "gateway"}], "rules": [rule]}
    parsed = parse_resource(
        {"apiVersion": _GATEWAY, "kind": "HTTPRoute", "metadata": {"name": "route"}, "spec": spec},
        Origin("bench", 1, 1),
    )
    assert isinstance(parsed, HTTPRoute)
    return parsed
