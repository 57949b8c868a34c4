"""How a gRPC server that is asked to stop ends."""

from __future__ import annotations

import asyncio
import logging

from signalbox.cli.stopping import Stop
from signalbox.wire import GrpcServer


async def drain(server: GrpcServer, seconds: float, stop: Stop, log: logging.Logger, *, delay: float = 0.0) -> None:
    """Go on taking calls for ``delay`` seconds, then take none and wait up to ``seconds`` for those under way.

    The delay is for gateways, which learn some time after the kubelet that an endpoint is about to go. Call it once
    health says NOT_SERVING. Asked to stop again, it ends at once.
    """
    if delay:
        log.info("no longer serving; calls are still taken", extra={"seconds": delay, "calls": server.calls})
    else:
        await asyncio.sleep(0)  # who watches our health hears of it before anyone is sent away
    ending = asyncio.create_task(_end(server, seconds, log, delay))
    hurried = asyncio.create_task(stop.at_once.wait())
    await asyncio.wait({ending, hurried}, return_when=asyncio.FIRST_COMPLETED)
    if not ending.done():
        log.warning("asked to stop again: closing at once", extra={"calls": server.calls})
    for task in (ending, hurried):
        task.cancel()
    await asyncio.wait({ending, hurried})


async def _end(server: GrpcServer, seconds: float, log: logging.Logger, delay: float) -> None:
    if delay:
        await asyncio.sleep(delay)
    log.info("draining", extra={"seconds": seconds, "calls": server.calls})
    await server.drain(seconds)
