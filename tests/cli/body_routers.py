"""Body-based routing as ``signalbox bbr`` runs it, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.cli.pickers import PORTS
from typer.testing import CliRunner

from signalbox.cli import bbr as bbr_command
from signalbox.cli.bbr import BbrOptions, BodyRouter
from signalbox.cli.main import app
from signalbox.cli.stopping import Stop

PLAIN = "--secure-serving=false"


def parse(*flags: str) -> BbrOptions:
    """What ``signalbox bbr FLAGS`` is told."""
    told: list[BbrOptions] = []

    def run(options: BbrOptions) -> int:
        told.append(options)
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bbr_command, "run", run)
        result = CliRunner().invoke(app, ["bbr", *flags])
    assert result.exit_code == 0, result.output
    return told[0]


@asynccontextmanager
async def running(*flags: str) -> AsyncIterator[tuple[BodyRouter, Stop]]:
    """Run it with these flags on free ports of 127.0.0.1 until the block ends."""
    router = BodyRouter(parse(*PORTS, *flags))
    stop = Stop()
    task = asyncio.create_task(router.run(stop))
    listening = asyncio.create_task(router.listening.wait())
    await asyncio.wait({task, listening}, return_when=asyncio.FIRST_COMPLETED)
    listening.cancel()
    try:
        if task.done():
            await task
        yield router, stop
    finally:
        stop.ask()
        stop.ask()
        await task
