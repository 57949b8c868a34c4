"""How a process is asked to stop: first gently, then at once."""

from __future__ import annotations

import asyncio
import signal


class Stop:
    """The first request sets ``gently``, any further one ``at_once``."""

    def __init__(self) -> None:
        self.gently = asyncio.Event()
        self.at_once = asyncio.Event()

    def ask(self) -> None:
        """Ask once more."""
        (self.at_once if self.gently.is_set() else self.gently).set()


def stop_on_signals() -> Stop:
    """Return what SIGTERM and SIGINT ask from now on; call it in the running loop."""
    stop = Stop()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.ask)
    return stop
