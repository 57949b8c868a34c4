"""``signalbox epp`` processes that follow an API server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from tests.kubernetes.admin import eventually

PORTS = ("--grpc-host", "127.0.0.1", "--grpc-port", "0", "--grpc-health-port", "0", "--metrics-port", "0")


class PickerProcess:
    """A picker of its own process; its log is read as it comes."""

    def __init__(self, command: list[str], environment: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment)
        self.log: list[dict[str, Any]] = []
        self.host = "127.0.0.1"
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            try:
                self.log.append(json.loads(line))
            except ValueError:
                self.log.append({"message": line.decode(errors="replace").rstrip()})

    def said(self, message: str) -> list[dict[str, Any]]:
        """The log lines with this message."""
        return [line for line in self.log if line["message"] == message]

    def await_ports(self) -> None:
        """Wait until all ports are open."""

        def open_() -> bool:
            assert self.process.poll() is None, self.log
            return bool(self._ports())

        eventually(open_, "ports open")

    def _ports(self) -> dict[str, Any]:
        said = [*self.said("endpoint picker ready"), *self.said("endpoint picker waits for its pool")]
        return said[0] if said else {}

    def get(self, path: str, token: str = "") -> tuple[int, str]:
        """GET from the metrics port; return status and body."""
        url = f"http://{self.host}:{self._ports()['metrics_port']}{path}"
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
                return int(answer.status), answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def page(self) -> dict[str, Any]:
        """What ``/debug/pool`` shows."""
        code, body = self.get("/debug/pool")
        assert code == 200, body
        page: dict[str, Any] = json.loads(body)
        return page

    def addresses(self) -> list[str]:
        """Where its endpoints are."""
        return sorted(endpoint["address"] for endpoint in self.page()["endpoints"])

    def metric(self, name: str) -> float:
        """The largest value among the series of a metric."""
        lines = [line for line in self.get("/metrics")[1].splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        assert lines, name
        return max(float(line.rpartition(" ")[2]) for line in lines)

    def serving(self, service: str = "readiness") -> bool:
        """What its gRPC health says."""
        with grpc.insecure_channel(f"{self.host}:{self._ports()['health_port']}") as channel:
            # A HealthCheckRequest is a string in field 1; an answer of 1 in field 1 is SERVING.
            check = channel.unary_unary("/grpc.health.v1.Health/Check", request_serializer=None)
            answer: bytes = check(bytes([0x0A, len(service)]) + service.encode(), timeout=10)
        return answer == b"\x08\x01"

    def terminate(self) -> int:
        """SIGTERM, as a kubelet sends it; return the exit status once all of the log is read."""
        self.process.terminate()
        status = self.process.wait(20)
        self._reader.join()
        return status

    def pause(self) -> None:
        """Let the process stand still; the kernel goes on taking what it is sent."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run again."""
        self.process.send_signal(signal.SIGCONT)

    def crash(self) -> None:
        """SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)

    def end(self) -> None:
        """Make sure that it is gone, and its log is read."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()


@contextmanager
def picker(kubeconfig: Path, namespace: str, *flags: str, pool: str = "pool") -> Iterator[PickerProcess]:
    """Run a picker until the block ends; metrics are open unless ``flags`` say otherwise."""
    guarded = () if any("metrics-endpoint-auth" in flag for flag in flags) else ("--metrics-endpoint-auth=false",)
    command = [
        *(sys.executable, "-m", "signalbox", "epp", "--kubeconfig", str(kubeconfig), *PORTS, *guarded),
        *("--pool-name", pool, "--pool-namespace", namespace, "--secure-serving=false", *flags),
    ]
    process = PickerProcess(command)
    try:
        process.await_ports()
        yield process
    finally:
        process.end()
