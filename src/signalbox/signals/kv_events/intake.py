"""The messages of one publisher, in their order, turned into what an endpoint's engine reports."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Callable, Iterator

import msgspec

from signalbox.payloads.prompts import BYTES_PER_TOKEN
from signalbox.pool import Endpoint
from signalbox.scheduling.prefix.precise_events import Event, Removed, Stored
from signalbox.signals.kv_events.decoding import BadEvents, decode_events
from signalbox.signals.kv_events.sequence import Arrival, Sequence

log = logging.getLogger(__name__)

PER_TURN = 512
"""Blocks that are taken in before others have their turn: about half a millisecond."""

_MESSAGE = 8  # what reading a message costs, in blocks

Replay = Callable[[int], AsyncIterator[tuple[int, bytes]]]
"""Asks for all messages from a number on. Raises `OSError` where they do not come."""


class FeedFigures(msgspec.Struct):
    """What came of one publisher's messages."""

    connected: bool = False
    messages: int = 0
    events: int = 0
    malformed: int = 0
    gaps: int = 0
    """Times that messages were missing."""
    replays: int = 0
    """Times that what was missing came after all."""
    restarts: int = 0
    disconnects: int = 0


class Intake:
    """One publisher's messages. Whatever is missed for good, the endpoint is forgotten: an index may know too little,
    never too much."""

    def __init__(
        self,
        endpoint: Endpoint,
        apply: Callable[[Endpoint, Event], None],
        lose: Callable[[Endpoint], None],
        replay: Replay | None = None,
    ) -> None:
        """``apply`` takes in an event; ``lose`` forgets all that the endpoint holds."""
        self.endpoint = endpoint
        self.figures = FeedFigures()
        self._sequence = Sequence()
        self._apply = apply
        self._lose = lose
        self._replay = replay
        self._told: set[str] = set()  # why messages were left out
        self._work = 0
        self._epoch = 0
        self._one = asyncio.Lock()  # what is replayed comes before what came meanwhile

    def disconnected(self) -> None:
        """The publisher is gone, perhaps with its engine: what it holds when it comes back is another matter."""
        self.figures.disconnects += 1
        self._epoch += 1
        self._sequence.reset()
        self._lose(self.endpoint)

    async def connected(self) -> None:
        """The publisher is there: ask for all that it has sent before, if it can be asked."""
        if self._replay is None:
            return
        async with self._one:
            if self._sequence.expected is not None:
                return
            epoch = self._epoch
            following = await self._catch_up(None)
            if epoch == self._epoch and following > 0:
                self.figures.replays += 1
                self._sequence.replayed(following)

    async def message(self, number: int, payload: bytes) -> None:
        """Take in a message as it comes."""
        async with self._one:
            await self._message(number, payload)

    async def _message(self, number: int, payload: bytes) -> None:
        self.figures.messages += 1
        sequence = self._sequence
        wanted, epoch = sequence.expected, self._epoch
        arrival = sequence.see(number)
        if arrival is Arrival.AGAIN:
            return
        if arrival is Arrival.RESTART:
            self.figures.restarts += 1
            self._lose(self.endpoint)
            wanted = None
        if arrival is Arrival.GAP or (arrival is Arrival.RESTART and number):
            self.figures.gaps += 1
            following = await self._catch_up(wanted)
            if epoch != self._epoch:
                return
            if following > number:
                self.figures.replays += 1
                sequence.replayed(following)
                return
            if following < number:
                self._lose(self.endpoint)
            else:
                self.figures.replays += 1
        await self._take_in(payload)

    async def _catch_up(self, wanted: int | None) -> int:
        """Ask for what was missed, from message ``wanted`` on or from the beginning; return the number after the last
        that came, -1 where none did or not all."""
        if self._replay is None:
            return -1
        following = -1
        try:
            async for number, payload in self._replay(wanted or 0):
                if following < 0 and wanted is not None and number != wanted:
                    self._lose(self.endpoint)  # what came in between is gone
                following = number + 1
                await self._take_in(payload)
        except OSError as error:
            log.warning("endpoint %s: no replay of KV-cache events: %s", self.endpoint.name, error)
            return -1
        return following

    async def _take_in(self, payload: bytes) -> None:
        """Apply a batch, a little at a time. Where some of it is left out, the endpoint is forgotten: it may have said
        that blocks are gone."""
        self._work += _MESSAGE
        epoch = self._epoch
        try:
            for event in decode_events(payload):
                self.figures.events += 1
                for piece in pieces(event):
                    self._apply(self.endpoint, piece)
                    self._work += len(piece.hashes) if isinstance(piece, Stored | Removed) else PER_TURN
                    await self._rest()
                    if epoch != self._epoch:
                        return
        except BadEvents as error:
            self._left_out("BadEvents", str(error))
        except Exception as error:  # of our own making: the feed goes on
            self._left_out(_cause(error), f"{type(error).__name__}: {error}", error)
        await self._rest()

    def _left_out(self, cause: str, said: str, fault: Exception | None = None) -> None:
        """Count a message that cannot be taken in, and tell of it, once for each cause."""
        self.figures.malformed += 1
        self._lose(self.endpoint)
        if cause in self._told:
            return
        self._told.add(cause)
        log.warning(
            "endpoint %s: a message of KV-cache events is left out, as further ones will be in silence, and what the"
            " endpoint caches is forgotten: %s",
            self.endpoint.name, said, exc_info=fault,
        )  # fmt: skip

    async def _rest(self) -> None:
        if self._work >= PER_TURN:
            self._work = 0
            await asyncio.sleep(0)


def _cause(error: Exception) -> str:
    """Where an exception was raised: the same for all that have one cause, whatever they say."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} {place.filename}:{place.lineno}"


def pieces(event: Event) -> Iterator[Event]:
    """Cut an event into some of at most `PER_TURN` blocks that say the same."""
    if not isinstance(event, Stored | Removed) or len(event.hashes) <= PER_TURN:
        yield event
        return
    for start in range(0, len(event.hashes), PER_TURN):
        hashes = event.hashes[start : start + PER_TURN]
        if isinstance(event, Removed):
            yield Removed(hashes, event.medium)
            continue
        step = event.block_size * BYTES_PER_TOKEN
        yield msgspec.structs.replace(
            event,
            hashes=hashes,
            parent=event.hashes[start - 1] if start else event.parent,
            tokens=event.tokens[start * step : (start + PER_TURN) * step],
            extras=event.extras[start : start + PER_TURN],
        )
