"""``signalbox up``: Kubernetes manifests, running on this machine."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What the command line of ``signalbox up`` says."""

    paths: tuple[Path, ...] = ()
    """Files and directories with manifests."""
    port: int = 8080
    """Where the first HTTP listener is served."""
    listen_host: str = "127.0.0.1"
    servers: tuple[str, ...] = ()
    """URLs of real servers that take the place of simulated ones."""
    config_file: Path | None = None
    """An EndpointPickerConfig for every picker, whatever the manifests say."""
    speed: float = 1.0
    """How much faster than real hardware the simulated servers run."""
    body_limit: int = 32 * MIB
    """The longest request body, in bytes."""
    state_dir: Path | None = None
    """Keep state and logs here; a temporary directory that is removed at the end otherwise."""
    plain: bool = False
    """Lines only, even on a terminal."""


class UpError(Exception):
    """Why ``up`` cannot go on. ``status`` is the exit status: 2 for what the command line got wrong, 1 for the rest."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def run(options: UpOptions) -> int:
    """Run until Ctrl-C or SIGTERM; return the exit status."""
    began = time.monotonic()
    # Before anything heavy is imported: somebody is waiting for a sign of life.
    what = ", ".join([*map(str, options.paths), *options.servers]) or "nothing"
    print(f"signalbox   starting {what}", flush=True)
    try:
        from signalbox.gateway.session import Session

        return asyncio.run(Session(options, began).run())
    except UpError as error:
        print(f"signalbox up: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        return 0
