"""Load on one URL, from wrk or from our own generator, always in a process of its own."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.processes import ROOT, python_module

GENERATORS = ("wrk", "own")
_PROMPT = "Write as if you were a critic: San Francisco. "


class LoadFailed(Exception):
    """The generator broke; the message is what it said."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the generator saw. ``failed`` counts answers that are not 2xx, and broken connections."""

    requests: int
    seconds: float
    p50_us: float
    p99_us: float
    failed: int


@dataclass(frozen=True, slots=True)
class Generator:
    """A closed-loop generator: each connection sends its next request when the last is answered."""

    kind: str
    directory: Path
    """Where request bodies are kept."""

    @classmethod
    def choose(cls, wanted: str | None, directory: Path) -> Generator:
        """Take ``wanted``, else wrk where it is installed. Raises LoadFailed when wrk is wanted and missing."""
        kind = wanted or ("wrk" if shutil.which("wrk") else "own")
        if kind == "wrk" and not shutil.which("wrk"):
            raise LoadFailed("--generator wrk: wrk is not installed; apt install wrk, or take --generator own")
        return cls(kind, directory)

    def run(self, url: str, connections: int, seconds: float, body: bytes) -> Load:
        """Load ``url`` for ``seconds``, which wrk rounds up. Raises LoadFailed when the generator itself breaks."""
        file = self.directory / f"body-{len(body)}.json"
        file.write_bytes(body)
        environment = dict(os.environ)
        if self.kind == "wrk":
            script = Path(__file__).with_name("wrk.lua")
            options = ["--threads", "1", "--connections", str(connections), "--duration", f"{math.ceil(seconds)}s"]
            argv = ["wrk", *options, "--timeout", "10s", "--script", str(script), url]
            environment["BENCH_BODY"] = str(file)
        else:
            argv = python_module("bench.closed_loop", url, str(connections), str(seconds), str(file))
        ran = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
        lines = [line for line in ran.stdout.splitlines() if line.startswith("{")]
        if not lines:
            raise LoadFailed(f"{self.kind} on {url}: {(ran.stderr or ran.stdout).strip()[-300:]}")
        return Load(**json.loads(lines[-1]))


def completion_request(size: int, model: str = "food-review", stream: bool = False) -> bytes:
    """A completion request of exactly ``size`` bytes, or the shortest that is possible."""
    fields = {"model": model, "prompt": "", "max_tokens": 100, "temperature": 0}
    if stream:
        fields["stream"] = True
    empty = len(json.dumps(fields, separators=(",", ":")))
    wanted = max(1, size - empty)
    fields["prompt"] = (_PROMPT * (wanted // len(_PROMPT) + 1))[:wanted]
    return json.dumps(fields, separators=(",", ":")).encode()
