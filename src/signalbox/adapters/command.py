"""The command ``signalbox lora-syncer``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from signalbox.adapters.config import SyncConfig
    from signalbox.adapters.server_api import ServerAPI

log = logging.getLogger(__name__)

CONFIG_ENV = "DYNAMIC_LORA_ROLLOUT_CONFIG"
DEFAULT_CONFIG = "/config/configmap.yaml"
_HOST_PORT = r"(?:\[[0-9A-Fa-f:.%]+\]|[^\[\]:=]+):[0-9]+"
_CONNECT_TO = re.compile(rf"({_HOST_PORT})=({_HOST_PORT})")


def run(argv: Sequence[str]) -> int:
    """Run the syncer with these arguments; return the exit status: 0, 1 for a failure, 2 for wrong arguments.

    It runs until SIGTERM or SIGINT, or with ``--once`` for one pass, which fails if the server is not as configured.
    """
    try:
        options = parse_arguments(argv)
    except BadArguments as error:
        print(f"signalbox lora-syncer: error: {error}", file=sys.stderr)
        return 2
    except SystemExit:  # --help has been printed
        return 0
    logging.basicConfig(
        stream=sys.stdout,
        level=options.log_level.upper(),
        format="%(asctime)s - %(levelname)s - %(filename)s:%(lineno)d -  %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
        force=True,
    )
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    return asyncio.run(_main(options))


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line. Raises BadArguments; ``--help`` prints the help and raises SystemExit(0)."""
    return _parser().parse_args(argv)


class BadArguments(Exception):
    """An argument that cannot be used; one line that names it."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadArguments(message.removeprefix("argument "))


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"invalid: {text!r} is not a number of seconds above 0")
    return value


def _port(text: str) -> int:
    value = int(text) if text.isdecimal() else -1
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give 1 to 65535, or 0 to serve no metrics")
    return value


def _connect_to(text: str) -> tuple[str, str]:
    match = _CONNECT_TO.fullmatch(text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT=ADDR:PORT, like localhost:8000=127.0.1.1:8000")
    return match[1], match[2]


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="signalbox lora-syncer", description="Keep the LoRA adapters of a vLLM server as a file says."
    )
    add = parser.add_argument
    add("--config", type=Path, default=None, help=f"the configuration (default: ${CONFIG_ENV}, else {DEFAULT_CONFIG})")
    add(
        "--config-validation",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="refuse a file with a wrong entry; without, such an entry is left out and the rest is used",
    )
    add("--health-check-timeout", type=_seconds, default=300.0, metavar="S", help="until a server counts as unhealthy")
    add("--health-check-interval", type=_seconds, default=2.0, metavar="S", help="between health checks meanwhile")
    add("--reconcile-trigger", type=_seconds, default=5.0, metavar="S", help="between passes with no other reason")
    add("--request-timeout", type=_seconds, default=120.0, metavar="S", help="for loading or unloading one adapter")
    add("--metrics-port", type=_port, default=8080, metavar="PORT", help="for /metrics; 0 serves none")
    add("--metrics-host", default=None, metavar="ADDR", help="address to serve /metrics on (default: all addresses)")
    add(
        "--connect-to",
        type=_connect_to,
        action="append",
        default=[],
        metavar="HOST:PORT=ADDR:PORT",
        help="where to connect for the server the configuration names HOST:PORT; may be repeated",
    )
    add("--once", action="store_true", help="do one pass and exit: 0 if the server is as configured, else 1")
    add("--log-level", choices=["debug", "info", "warning", "error"], default="info", help="what to write")
    return parser


async def _main(options: argparse.Namespace) -> int:
    # Here, not at the top: `--help` and wrong arguments need none of it.
    from random import Random

    import aiohttp

    from signalbox.adapters.backoff import Backoff
    from signalbox.adapters.config_file import ConfigFile
    from signalbox.adapters.loop import SyncLoop, Timing
    from signalbox.adapters.metrics import SyncMetrics, serve_metrics
    from signalbox.adapters.reconcile import Reconciler, Result
    from signalbox.adapters.server_api import ServerAPI

    loop = asyncio.get_running_loop()
    stopping: asyncio.Future[signal.Signals] = loop.create_future()

    def stop(number: signal.Signals) -> None:
        if not stopping.done():
            stopping.set_result(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    path = options.config or Path(os.environ.get(CONFIG_ENV) or DEFAULT_CONFIG)
    metrics = SyncMetrics()
    runner = None
    if options.metrics_port and not options.once:
        try:
            runner = await serve_metrics(metrics, options.metrics_port, options.metrics_host)
        except OSError as error:
            log.error(
                "--metrics-port %d: cannot listen: %s; give another port, or 0 to serve no metrics",
                options.metrics_port, error.strerror or error,
            )  # fmt: skip
            return 1
        log.info("Starting metrics server on port %d", options.metrics_port)
    log.info(
        "Settings initialized: health check timeout=%gs, interval=%gs, reconcile trigger=%gs",
        options.health_check_timeout, options.health_check_interval, options.reconcile_trigger,
    )  # fmt: skip
    dial = dict(options.connect_to)
    backoff = Backoff(Random())
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:

        def connect(config: SyncConfig) -> ServerAPI:
            return ServerAPI(session, config.server, dial.get(config.server), options.request_timeout)

        syncing = SyncLoop(
            ConfigFile(path, options.config_validation),
            connect,
            Reconciler(metrics, backoff, str(path)),
            backoff,
            metrics,
            Timing(options.health_check_timeout, options.health_check_interval, options.reconcile_trigger),
        )
        log.info("Running initial reconcile for config map %s", path)
        work: asyncio.Task[Result | None] = loop.create_task(syncing.once() if options.once else syncing.run())
        either: list[asyncio.Future[Any]] = [work, stopping]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            log.info("stopping on %s", stopping.result().name)
            work.cancel()
            await asyncio.wait([work])
        if runner:
            await runner.cleanup()
        if work.cancelled():
            return 0
        return 0 if work.result() is Result.OK else 1
