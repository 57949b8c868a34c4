"""``/debug/decisions``: the latest decisions over HTTP, as JSON, whole or as they come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from signalbox.observability.decision_view import decision_summary, decision_view, timestamp
from signalbox.observability.decisions import DecisionLog, Entry
from signalbox.observability.server import MetricsServer

PATH = "/debug/decisions"
LATEST = 20
"""Decisions shown where a reader does not say how many."""
MOST_FOLLOWERS = 16
BACKLOG = 1000
"""Decisions that wait for one follower before it is cut off."""

_PATIENCE = 5.0  # seconds between two looks at whether a follower is still there


class DecisionPages:
    """Serves a decision log. ``wall`` turns seconds of the director's clock into seconds since the epoch."""

    def __init__(self, log: DecisionLog, wall: Callable[[float], float]) -> None:
        self._log = log
        self._wall = wall
        self._backlogs: set[asyncio.Queue[Entry | None]] = set()

    def add_to(self, server: MetricsServer) -> None:
        """Add the pages. Call before the server starts."""
        server.add_get(PATH, self._page)
        server.add_get(PATH + "/{request_id:.+}", self._one)

    def close(self) -> None:
        """Send all followers away."""
        for backlog in list(self._backlogs):
            self._send_away(backlog)

    def state(self) -> dict[str, Any]:
        """How many decisions are kept, and how far back they go."""
        log = self._log
        return {
            "kept": len(log),
            "capacity": log.capacity,
            "sample": log.sample,
            "rate": log.rate,
            "passed_over": log.passed_over,
            "since": None if log.oldest is None else timestamp(self._wall(log.oldest)),
        }

    async def _page(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("follow", "0") not in ("0", "false", ""):
            return await self._follow(request)
        asked = request.query.get("last", str(LATEST))
        if not (asked.isdecimal() and len(asked) < 10):
            return _problem(400, f"last={asked[:40]!r} is not a whole number; ask for ?last={LATEST}")
        entries = self._log.latest(int(asked))
        decisions = []
        for entry in entries:
            decisions.append(decision_summary(entry, self._wall))
            await asyncio.sleep(0)  # requests that are to be routed come first
        return _json({**self.state(), "decisions": decisions})

    async def _one(self, request: web.Request) -> web.Response:
        request_id = request.match_info["request_id"]
        found = self._log.find(request_id)
        if not found:
            return _problem(404, f"no decision for request {request_id[:200]!r} is kept", **self.state())
        return _json({**self.state(), "decisions": [decision_view(entry, self._wall) for entry in found]})

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        if len(self._backlogs) >= MOST_FOLLOWERS:
            return _problem(503, f"{MOST_FOLLOWERS} readers follow already; end one of them")
        backlog: asyncio.Queue[Entry | None] = asyncio.Queue(BACKLOG + 1)
        transport = request.transport

        def put(entry: Entry) -> None:
            if backlog.qsize() < BACKLOG:
                backlog.put_nowait(entry)
            else:
                self._log.unfollow(put)
                self._send_away(backlog)
                if transport is not None:
                    transport.abort()  # it may be stuck in the middle of a line

        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"})
        self._backlogs.add(backlog)
        self._log.follow(put)
        try:
            await response.prepare(request)
            while transport is not None and not transport.is_closing():
                try:
                    entry = await asyncio.wait_for(backlog.get(), _PATIENCE)
                except TimeoutError:
                    continue
                if entry is None:
                    break
                line = json.dumps(decision_summary(entry, self._wall))
                await response.write(line.encode() + b"\n")
        except ConnectionError:
            pass
        finally:
            self._log.unfollow(put)
            self._backlogs.discard(backlog)
        return response

    def _send_away(self, backlog: asyncio.Queue[Entry | None]) -> None:
        if not backlog.full():  # else it has been sent away, or is about to run into its end
            backlog.put_nowait(None)


def _json(document: dict[str, Any], status: int = 200) -> web.Response:
    return web.json_response(document, status=status, dumps=lambda value: json.dumps(value, indent=2))


def _problem(status: int, error: str, **state: Any) -> web.Response:
    return _json({"error": error, **state}, status)
