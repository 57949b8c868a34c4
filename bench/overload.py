"""What flow control is good for: ``python -m bench.overload``.

``signalbox up`` with two simulated servers, of 16 places each, under more batch work than they have places for, and one
client who matters more and asks one short question after the other. Once with requests waiting in the servers, once in
the picker. Times are wall-clock seconds through Envoy.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

import aiohttp
from rich.console import Console
from rich.table import Table

from bench import amounts
from bench.ports import free_port

PLACES = 16
MANIFESTS = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: llm}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: llm}}}}
  template:
    metadata: {{labels: {{app: llm}}}}
    spec:
      containers:
      - name: vllm
        image: vllm/vllm-openai:latest
        command: [python3, -m, vllm.entrypoints.openai.api_server]
        args: [--model, base, --port, "8000", --max-num-seqs, "{PLACES}"]
        ports: [{{containerPort: 8000, name: http}}]
        readinessProbe: {{httpGet: {{path: /health, port: http}}}}
---
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {{name: llm}}
spec:
  selector: {{matchLabels: {{app: llm}}}}
  targetPorts: [{{number: 8000}}]
  endpointPickerRef: {{name: epp, port: {{number: 9002}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: gateway}}
spec: {{gatewayClassName: any, listeners: [{{name: http, port: 80, protocol: HTTP}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: route}}
spec:
  parentRefs: [{{name: gateway}}]
  rules: [{{backendRefs: [{{group: inference.networking.k8s.io, kind: InferencePool, name: llm}}]}}]
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceObjective
metadata: {{name: urgent}}
spec: {{priority: 100, poolRef: {{name: llm}}}}
"""
CONFIGURATION = f"""
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl=%s]
plugins: [{{type: queue-scorer}}, {{type: concurrency-detector, parameters: {{maxConcurrency: {PLACES}}}}}]
schedulingProfiles: [{{name: default, plugins: [{{pluginRef: queue-scorer}}]}}]
flowControl: {{saturationDetector: {{pluginRef: concurrency-detector}}}}
"""


@dataclass(slots=True)
class Figures:
    """What clients saw."""

    urgent: list[float] = field(default_factory=list)
    batch: list[float] = field(default_factory=list)
    failed: int = 0


@contextlib.asynccontextmanager
async def gateway(gate: str) -> AsyncIterator[str]:
    """Run ``signalbox up``; give where it listens."""
    with tempfile.TemporaryDirectory() as place:
        manifests, configuration = Path(place, "manifests"), Path(place, "epp.yaml")
        manifests.mkdir()
        manifests.joinpath("all.yaml").write_text(MANIFESTS)
        configuration.write_text(CONFIGURATION % gate)
        port = free_port()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "signalbox", "up", str(manifests), "--config-file", str(configuration)),
            *("--port", str(port), "--plain", "--state-dir", str(Path(place, "state"))),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        while not re.match(rb"ready +ready in", line := await process.stdout.readline()):
            if not line:
                raise RuntimeError("signalbox up ended before it was ready")
        reading = asyncio.create_task(process.stdout.read())
        try:
            yield f"http://127.0.0.1:{port}/v1/completions"
        finally:
            process.send_signal(signal.SIGINT)
            await process.wait()
            await reading


async def measure(gate: str, clients: int, seconds: float) -> Figures:
    """Load a gateway and look at what comes back."""
    found = Figures()
    connector = aiohttp.TCPConnector(limit=0)
    async with gateway(gate) as url, aiohttp.ClientSession(connector=connector) as session:
        until = time.perf_counter() + seconds

        async def client(times: list[float], tokens: int, objective: str, pause: float) -> None:
            body = {"model": "base", "prompt": "x", "max_tokens": tokens, "ignore_eos": True}
            headers = {"content-type": "application/json"}
            if objective:
                headers["x-llm-d-inference-objective"] = objective
            await asyncio.sleep(pause)
            while (began := time.perf_counter()) < until:
                async with session.post(url, data=json.dumps(body).encode(), headers=headers) as answer:
                    await answer.read()
                if answer.status == 200:
                    times.append(time.perf_counter() - began)
                else:
                    found.failed += 1

        async with asyncio.TaskGroup() as tasks:
            for number in range(clients):
                tasks.create_task(client(found.batch, 100, "", 2.0 * number / clients))
            tasks.create_task(client(found.urgent, 10, "urgent", 3.0))
    return found


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.overload", description="What flow control is good for.")
    parser.add_argument("--clients", type=amounts.count, default=128, help="batch clients (%(default)s)")
    parser.add_argument("--seconds", type=amounts.seconds, default=30.0)
    arguments = parser.parse_args()
    table = Table("requests wait", "urgent p50, s", "p90", "batch p50, s", "p90", "batch a second", "failed")
    for name, gate in (("in the servers", "false"), ("in the picker", "true")):
        found = asyncio.run(measure(gate, arguments.clients, arguments.seconds))
        cells = []
        for times in (found.urgent, found.batch):
            tenths = quantiles(times, n=10)
            cells += [f"{tenths[4]:.2f}", f"{tenths[8]:.2f}"]
        table.add_row(name, *cells, f"{len(found.batch) / arguments.seconds:.0f}", str(found.failed))
    Console().print(table)


if __name__ == "__main__":
    main()
