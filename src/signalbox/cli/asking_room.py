"""Where requests wait for the token ids of their prompts; those that then wait for
their turn go on to the next room."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from signalbox.cli.waiting_room import TurnRoom
from signalbox.director import Asking, Director, Refused, Routed, Tokens, Waiting
from signalbox.extproc import Deliver, Pending
from signalbox.signals.tokens import TokenClient

log = logging.getLogger("signalbox.epp")


class AskingRoom:
    """The waiting room of one director. To be used on one event loop."""

    def __init__(self, director: Director, client: TokenClient, turns: TurnRoom, clock: Callable[[], float]) -> None:
        self._director = director
        self._client = client
        self._turns = turns
        self._clock = clock
        self._asking: dict[Asking, asyncio.Task[None] | asyncio.Handle] = {}
        self._waiting: dict[Asking, Waiting] = {}

    @property
    def asking(self) -> int:
        """How many requests wait for token ids."""
        return len(self._asking)

    def enter(self, pending: Pending, deliver: Deliver) -> None:
        """See `WaitingRoom.enter`."""
        if isinstance(pending, Waiting):
            self._turns.enter(pending, deliver)
            return
        loop = asyncio.get_running_loop()
        known = self._client.remembered(pending)
        if known is not None:
            self._asking[pending] = loop.call_soon(self._go_on, pending, known, deliver)
        else:
            self._asking[pending] = loop.create_task(self._ask(pending, deliver))

    def leave(self, pending: Pending) -> None:
        """See `WaitingRoom.leave`."""
        if isinstance(pending, Waiting):
            self._turns.leave(pending)
            return
        work = self._asking.pop(pending, None)
        if work is not None:
            work.cancel()
        waiting = self._waiting.pop(pending, None)
        if waiting is not None:
            self._turns.leave(waiting)

    def freed(self) -> None:
        """See `WaitingRoom.freed`."""
        self._turns.freed()

    async def _ask(self, asking: Asking, deliver: Deliver) -> None:
        tokens: Tokens | None = None
        try:
            tokens = await self._client.ask(asking)
        except Exception:
            log.exception("token ids could not be asked for")
        self._go_on(asking, tokens, deliver)

    def _go_on(self, asking: Asking, tokens: Tokens | None, deliver: Deliver) -> None:
        self._asking.pop(asking, None)
        outcome = self._director.proceed(asking, tokens, self._clock())
        if not isinstance(outcome, Waiting):
            deliver(outcome)
            return

        def told(outcome: Routed | Refused) -> None:
            self._waiting.pop(asking, None)
            deliver(outcome)

        self._waiting[asking] = outcome
        self._turns.enter(outcome, told)
