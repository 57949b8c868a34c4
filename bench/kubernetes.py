"""``python -m bench.kubernetes``: what following a real API server costs a picker, with 1,000 pods like the guide's.

Needs root and Debian the first time, to build the API server (``tests/kubernetes/apiserver/build``). The pods have no
servers, so scraping is put off: only following is measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from tests.kubernetes.admin import Admin, pod
from tests.kubernetes.apiserver.control import ApiServer
from tests.kubernetes.conftest import install

from bench import amounts
from bench.ports import free_port
from bench.processes import ROOT, Process, python_module
from bench.standing import cores_used

PODS = 1000
CREATORS = 4
"""Threads that create pods and change them; two cores are busy with the API server then."""


class Following:
    """A picker process that follows the API server."""

    def __init__(self, kubeconfig: Path, directory: Path) -> None:
        self._metrics = free_port()
        ports = ("--grpc-port", "0", "--grpc-health-port", "0", "--metrics-port", str(self._metrics))
        flags = ("--grpc-host", "127.0.0.1", "--secure-serving=false", "--metrics-endpoint-auth=false")
        argv = python_module(
            *("signalbox", "epp", "--kubeconfig", str(kubeconfig), "--pool-name", "pool", *ports, *flags),
            *("--refresh-metrics-interval", "1h"),
        )
        self.started = time.monotonic()
        self.process = Process("picker", argv, directory / "picker.log")
        self.process.listening("127.0.0.1", self._metrics)
        self.listening_after = time.monotonic() - self.started

    def metrics(self) -> dict[str, float]:
        """Series by name and labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics}/metrics", timeout=10) as answer:
            lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
        return {series: float(value) for series, _, value in (line.rpartition(" ") for line in lines)}

    def ready_pods(self) -> float:
        """How many endpoints it knows."""
        return self.metrics().get('inference_pool_ready_pods{name="pool"}', 0.0)

    def until(self, condition: Callable[[], bool]) -> float:
        """Wait until ``condition`` holds; return when, in seconds of the monotonic clock. Raises TimeoutError."""
        deadline = time.monotonic() + 120
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError("the picker did not come to know what was changed within 120 s")
            time.sleep(0.02)
        return time.monotonic()


def pod_spec() -> dict[str, Any]:
    """The pod spec of the guide's model servers, less what admission would not take without a cluster."""
    documents = yaml.safe_load_all((ROOT / "examples/get-started/01-gpu-deployment.yaml").read_text())
    deployment = next(found for found in documents if found and found["kind"] == "Deployment")
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    # Native sidecars are newer than this API server.
    spec["initContainers"] = [
        {name: value for name, value in container.items() if name != "restartPolicy"}
        for container in spec.get("initContainers", [])
    ]
    return spec


def measure(kubeconfig: Path, directory: Path, pods: int, seconds: float) -> dict[str, float]:
    """Create ``pods`` pods and measure; ``seconds`` is how long the picker is watched doing nothing."""
    admins = [Admin(kubeconfig, "default") for _ in range(CREATORS)]
    admins[0].pool()
    spec = pod_spec()
    names = [f"vllm-{number:04}" for number in range(pods)]

    def each(act: Callable[[Admin, int], object]) -> float:
        """Do something to every pod; return how long that took."""

        def share(part: int) -> None:
            for number in range(part, pods, CREATORS):
                act(admins[part], number)

        began = time.monotonic()
        with ThreadPoolExecutor(CREATORS) as pool:
            list(pool.map(share, range(CREATORS)))
        return time.monotonic() - began

    each(
        lambda admin, n: admin.create(pod(names[n], f"10.{n // 65025}.{n // 255 % 255}.{n % 255 + 1}") | {"spec": spec})
    )
    size = len(json.dumps(admins[0].request("GET", admins[0].path("Pod", names[0]))))
    picker = Following(kubeconfig, directory)
    try:
        complete = picker.until(lambda: picker.ready_pods() == pods) - picker.started
        idle = cores_used(picker.process, seconds)
        memory = picker.process.resident_bytes()

        def cost(act: Callable[[Admin, int], object], ready: int) -> tuple[float, float, float]:
            """Changes a second, CPU seconds a second, seconds from the last change until all is known."""
            events, cpu = _events(picker), picker.process.cpu_seconds()
            took = each(act)
            changed = time.monotonic()
            known = picker.until(lambda: picker.ready_pods() == ready) - changed
            told = _events(picker) - events
            return told / took, (picker.process.cpu_seconds() - cpu) / took, max(0.0, known)

        unready = cost(lambda admin, n: admin.set_ready(names[n], False), 0)
        ready = cost(lambda admin, n: admin.set_ready(names[n], True), pods)
    finally:
        picker.process.stop()
        for admin in admins:
            admin.close()
    return {
        "pods": pods,
        "bytes_per_pod": size,
        "listening_seconds": picker.listening_after,
        "complete_seconds": complete,
        "idle_cores": idle,
        "resident_mb": memory / 1e6,
        "unready_per_second": unready[0],
        "unready_cores": unready[1],
        "unready_known_seconds": unready[2],
        "ready_per_second": ready[0],
        "ready_cores": ready[1],
        "ready_known_seconds": ready[2],
    }


def _events(picker: Following) -> float:
    return picker.metrics()['signalbox_source_events_total{resource="pods"}']


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.kubernetes", description=__doc__)
    parser.add_argument("--pods", type=amounts.count, default=PODS)
    parser.add_argument(
        "--seconds", type=amounts.seconds, default=30.0, help="how long the picker is watched doing nothing"
    )
    options = parser.parse_args()
    built = subprocess.run([ROOT / "tests/kubernetes/apiserver/build"], check=True, stdout=subprocess.PIPE, text=True)
    with (
        tempfile.TemporaryDirectory(prefix="signalbox-bench-") as place,
        ApiServer(Path(built.stdout.strip()), Path(place)) as server,
    ):
        kubeconfig = server.kubeconfig("admin")
        admin = Admin(kubeconfig, "default")
        install(admin, "1.20")
        admin.close()
        figures = measure(kubeconfig, Path(place), options.pods, options.seconds)
    json.dump({name: round(value, 4) for name, value in figures.items()}, sys.stdout, indent=2)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
