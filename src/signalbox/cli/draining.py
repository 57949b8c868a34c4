"""How a gRPC server that is asked to stop ends."""

from __future__ import annotations

import asyncio
import logging

from signalbox.cli.stopping import Stop
from signalbox.wire import GrpcServer


async def drain(server: GrpcServer, seconds: float, stop: Stop, log: logging.Logger) -> None:
    """Take no new calls and wait up to ``seconds`` for those under way; asked again, end at once."""
    log.info("draining", extra={"seconds": seconds, "calls": server.calls})
    draining = asyncio.create_task(server.drain(seconds))
    hurried = asyncio.create_task(stop.at_once.wait())
    await asyncio.wait({draining, hurried}, return_when=asyncio.FIRST_COMPLETED)
    if not draining.done():
        log.warning("asked to stop again: closing at once", extra={"calls": server.calls})
    for task in (draining, hurried):
        task.cancel()
    await asyncio.wait({draining, hurried})
