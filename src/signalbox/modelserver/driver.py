"""The engine on the real clock: one timer that sleeps until the batch in progress ends."""

import asyncio
import time
from collections.abc import Callable

from signalbox.engine import CacheChange, Engine, Request, RequestState
from signalbox.modelserver.continuation import Continuation
from signalbox.modelserver.metrics import ServerMetrics

# Real seconds a timer waits at least. uvloop's timers count whole milliseconds and round shorter ones down to "at
# once", so that a fast simulation would spin; the engine catches up with every batch that ended meanwhile.
_SHORTEST_SLEEP = 0.001


class Choice:
    """One answer being generated."""

    __slots__ = ("continuation", "index", "sent", "state")

    def __init__(self, index: int, continuation: Continuation, state: RequestState) -> None:
        self.index = index
        self.continuation = continuation
        self.state = state
        self.sent = 0  # tokens already written to a streaming client


class Job:
    """The choices of one HTTP request, and whoever waits for them."""

    __slots__ = ("_waiter", "choices", "max_tokens", "pending")

    def __init__(self, max_tokens: int) -> None:
        self.choices: list[Choice] = []
        self.max_tokens = max_tokens
        self.pending = 0
        self._waiter: asyncio.Future[None] | None = None

    async def changed(self) -> None:
        """Wait for the next token (of a watched job) or the end."""
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def wake(self) -> None:
        """Let the waiting handler look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class EngineDriver:
    """Runs one engine ``speed`` times as fast as the clock. Everything happens on the event loop."""

    def __init__(
        self, engine: Engine, metrics: ServerMetrics, speed: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.engine = engine
        self._metrics = metrics
        self._speed = speed
        self._clock = clock
        self._epoch = clock()
        self._jobs: dict[RequestState, tuple[Job, Choice]] = {}
        self._watched: set[Job] = set()
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._timer_at = 0.0
        self._publish: Callable[[list[CacheChange]], None] | None = None

    def listen_to_cache(self, publish: Callable[[list[CacheChange]], None]) -> None:
        """Call ``publish`` with what becomes of the prefix cache, in order."""
        self.engine.listen_to_cache()
        self._publish = publish

    def now(self) -> float:
        """Engine time in seconds."""
        return (self._clock() - self._epoch) * self._speed

    @property
    def in_flight(self) -> int:
        """Choices waiting or running."""
        return len(self._jobs)

    def real_seconds(self, engine_seconds: float) -> float:
        """How long a stretch of engine time takes on the clock."""
        return engine_seconds / self._speed

    def submit(self, job: Job, continuation: Continuation, request: Request) -> None:
        """Add a choice to a job; raises what ``Engine.submit`` raises."""
        state = self.engine.submit(request, self.now())
        choice = Choice(len(job.choices), continuation, state)
        job.choices.append(choice)
        job.pending += 1
        self._jobs[state] = (job, choice)
        if self._timer is None:
            # After everything that arrived in the same turn of the loop, so that it shares the first batch.
            self._timer = asyncio.get_running_loop().call_soon(self._tick)

    def watch(self, job: Job) -> None:
        """Wake this job at every token and not only at its end."""
        self._watched.add(job)

    def abort(self, job: Job) -> None:
        """The client has gone: end what is left of its job."""
        self._watched.discard(job)
        now = self.now()
        for choice in job.choices:
            if self._jobs.pop(choice.state, None) is not None:
                self.engine.cancel(choice.state.request.id, now)
                generated = self.engine.generated(choice.state)
                self._metrics.finished(choice.state, generated, "abort", job.max_tokens)
        job.pending = 0

    def load_adapter(self, name: str) -> float:
        """Load an adapter into the engine; real seconds until it is ready."""
        return self.real_seconds(self.engine.load_adapter(name, self.now()))

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        result = self.engine.step(self.now())
        self._metrics.stepped(result, self.engine.adapters.in_flight)
        if self._publish is not None:
            changes = self.engine.cache_changes()
            if changes:
                self._publish(changes)
        for state in result.finished:
            job, choice = self._jobs.pop(state)
            answer = choice.continuation
            self._metrics.finished(state, answer.length, answer.finish_reason, job.max_tokens)
            job.pending -= 1
            if not job.pending:
                self._finish(job)
        if result.tokens:
            for job in self._watched:
                job.wake()
        if result.next_at is None:
            self._timer = None
            return
        delay = max(_SHORTEST_SLEEP, self.real_seconds(result.next_at - self.now()))
        self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _finish(self, job: Job) -> None:
        self._metrics.request_ended(len(job.choices), max(choice.continuation.length for choice in job.choices))
        self._watched.discard(job)
        job.wake()
