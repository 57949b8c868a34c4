"""The picker's admin pages: ``/debug/pool`` and ``/debug/decisions``, on the port of its metrics."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from signalbox.cli.configuration import ConfigurationFile
from signalbox.cli.epp_options import EppOptions
from signalbox.cli.pool_page import GUIDE, configuration_page, faults_of, pool_page
from signalbox.cli.queues_page import queues_page
from signalbox.cli.registered import Registered, registered
from signalbox.director import Director
from signalbox.observability import DecisionLog, DecisionPages, FaultCollector, MetricsServer
from signalbox.observability.refusals import Refusals, read_refusals
from signalbox.pool import Pool

Problems = Callable[[], Sequence[str]]


def decision_log(options: EppOptions, pool: Pool) -> DecisionLog | None:
    """The log that ``--explain-records``, ``--explain-sample`` and ``--explain-rate`` ask for."""
    if not options.explain_records:
        return None
    return DecisionLog(pool, options.explain_records, options.explain_sample, options.explain_rate)


class AdminPages:
    """What an operator can ask a running picker."""

    def __init__(
        self,
        options: EppOptions,
        director: Director,
        log: DecisionLog | None,
        configuration: ConfigurationFile | None,
        problems: Problems,
        precise: Callable[[], dict[str, Any] | None] = lambda: None,
    ) -> None:
        """``problems`` returns what is wrong with the objects that were read, one sentence each; ``precise`` what is
        known of precise prefixes, if they are in use."""
        self._precise = precise
        self._options = options
        self._director = director
        self._configuration = configuration
        self._problems = problems
        self._note = contextlib.ExitStack()
        self._decisions = None if log is None else DecisionPages(log, wall_clock)

    def add_to(self, server: MetricsServer) -> None:
        """Add the pages. Call before the server starts."""
        server.add_get("/debug/pool", self._pool)
        if self._decisions is not None:
            self._decisions.add_to(server)
        else:
            for path in ("/debug/decisions", "/debug/decisions/{request_id:.+}"):
                server.add_get(path, _switched_off)

    def open(self, port: int) -> None:
        """The pages are at ``port`` from now on: let ``signalbox explain`` on this machine find them."""
        pool = self._director.pool
        url = f"http://{_reachable(self._options.host)}:{port}"
        self._note.enter_context(registered(Registered(f"{pool.namespace}/{pool.name}", url)))

    def close(self) -> None:
        """Send followers away, so that the server need not wait for them."""
        self._note.close()
        if self._decisions is not None:
            self._decisions.close()

    def faults(self) -> FaultCollector:
        """The same as metrics, as far as somebody should be woken for it."""
        return FaultCollector(
            self._director.pool,
            lambda: len(self._refused()),
            lambda: bool(self._refused_configuration()),
            lambda: faults_of(self._director.rules),
        )

    def _refused(self) -> list[str]:
        """What was read and not taken. What is overruled or held back is told beside it."""
        catalogue = self._director.pool.catalogue
        told = {*map(str, catalogue.conflicts), *map(str, catalogue.held_back())}
        return [problem for problem in (*self._problems(), *self._before().objects) if problem not in told]

    def _refused_configuration(self) -> list[str]:
        """What is wrong with the configuration as it is now."""
        own = self._configuration.refused if self._configuration is not None else ""
        return [*own.splitlines(), *self._before().configuration]

    def _before(self) -> Refusals:
        """What somebody else refused who read the manifests first."""
        file = self._options.refused_file
        return Refusals() if file is None else read_refusals(file)

    async def _pool(self, _request: web.Request) -> web.Response:
        page = pool_page(self._director.pool, time.monotonic())
        await asyncio.sleep(0)  # requests that are to be routed come first
        rules = self._director.rules
        page["configuration"] = configuration_page(rules, self._source())
        page["configuration"]["refused"] = self._refused_configuration()
        page["refused"] = self._refused()
        page["precise_prefix"] = self._precise()
        page["queues"] = queues_page(self._director, time.monotonic())
        page["decisions"] = None if self._decisions is None else self._decisions.state()
        return _json(page)

    def _source(self) -> str:
        if self._options.config_file is not None:
            return str(self._options.config_file)
        return "--config-text" if self._options.config_text is not None else GUIDE


async def _switched_off(_request: web.Request) -> web.Response:
    error = "this picker keeps no decisions; start it with --explain-records 1000"
    return _json({"error": error, "switched_off": True}, 404)


def _reachable(host: str) -> str:
    """Where to reach from this machine what listens on ``host``."""
    if host in ("0.0.0.0", ""):
        return "127.0.0.1"
    return "[::1]" if host == "::" else f"[{host}]" if ":" in host else host


def wall_clock(monotonic: float) -> float:
    """Seconds of the director's clock as seconds since the epoch."""
    return time.time() - time.monotonic() + monotonic


def _json(document: dict[str, object], status: int = 200) -> web.Response:
    return web.json_response(document, status=status, dumps=lambda value: json.dumps(value, indent=2))
