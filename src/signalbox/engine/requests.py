"""What an engine is asked to do, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One sequence to generate. Its output length is known beforehand: the engine models time, not content.

    ``block_hashes`` are the chained hashes of the full prompt blocks (``chain_hashes``; of every ``hash_blocks`` blocks
    together where the engine's configuration says so), empty to stay out of the prefix cache.
    ``tokens_between(start, stop)`` gives the token ids of prompt and output at these positions, so that generated
    blocks can be cached when they fill; without it they stay private. ``root`` is the root of the chain.
    """

    id: str
    prompt_tokens: int
    output_tokens: int
    block_hashes: Sequence[int] = ()
    adapter: str | None = None
    tokens_between: Callable[[int, int], Sequence[int]] | None = None
    root: int = 0


class Phase(Enum):
    """Where a request is in its life."""

    WAITING = "waiting"
    PREFILL = "prefill"
    DECODE = "decode"
    FINISHED = "finished"
    CANCELLED = "cancelled"


class RequestState:
    """A submitted request: read it, let the engine write it. Times are seconds of the caller's clock."""

    __slots__ = (
        "arrival",
        "base_generated",
        "base_tick",
        "cached_tokens",
        "computed",
        "finish_tick",
        "finished_at",
        "first_token_at",
        "hashes",
        "jumped",
        "last_token_at",
        "order",
        "phase",
        "preemptions",
        "private",
        "published",
        "request",
        "scheduled_at",
        "shared",
    )

    def __init__(self, request: Request, arrival: float, order: int) -> None:
        self.request = request
        self.arrival = arrival
        self.order = order
        self.phase = Phase.WAITING
        self.scheduled_at: float | None = None
        self.first_token_at: float | None = None
        self.finished_at: float | None = None
        self.last_token_at = arrival
        self.cached_tokens: int | None = None  # prompt tokens found in the prefix cache, once scheduled
        self.preemptions = 0
        self.computed = 0  # tokens whose KV exists, during prefill
        self.hashes = list(request.block_hashes)
        self.shared: list[int] = []
        self.private = 0
        self.jumped = 0  # blocks the engine had taken in jumps for sequences like this one when it began to decode
        self.published = 0  # leading full blocks already offered to the prefix cache
        self.base_generated = 0  # tokens generated when the engine's tick was base_tick
        self.base_tick = 0
        self.finish_tick = 0

    def fork(self) -> RequestState:
        """A copy that goes its own way."""
        copy = RequestState(self.request, self.arrival, self.order)
        copy.phase = self.phase
        copy.scheduled_at, copy.first_token_at, copy.finished_at = (
            self.scheduled_at,
            self.first_token_at,
            self.finished_at,
        )
        copy.last_token_at = self.last_token_at
        copy.cached_tokens, copy.preemptions, copy.computed = self.cached_tokens, self.preemptions, self.computed
        copy.hashes, copy.shared = self.hashes.copy(), self.shared.copy()
        copy.private, copy.jumped, copy.published = self.private, self.jumped, self.published
        copy.base_generated, copy.base_tick, copy.finish_tick = self.base_generated, self.base_tick, self.finish_tick
        return copy

    @property
    def ended(self) -> bool:
        """Finished or cancelled."""
        return self.phase is Phase.FINISHED or self.phase is Phase.CANCELLED

    @property
    def queue_seconds(self) -> float:
        """From arrival to first being scheduled (or to the end, if that never happened)."""
        end = self.scheduled_at if self.scheduled_at is not None else self.finished_at
        return 0.0 if end is None else end - self.arrival

    @property
    def prefill_seconds(self) -> float:
        """From being scheduled to the first token."""
        if self.scheduled_at is None or self.first_token_at is None:
            return 0.0
        return self.first_token_at - self.scheduled_at

    @property
    def first_token_seconds(self) -> float | None:
        """Time to first token: from arrival to the first token."""
        return None if self.first_token_at is None else self.first_token_at - self.arrival

    @property
    def decode_seconds(self) -> float:
        """From the first token to the last."""
        return 0.0 if self.first_token_at is None else self.last_token_at - self.first_token_at

    @property
    def total_seconds(self) -> float:
        """From arrival to the end."""
        return 0.0 if self.finished_at is None else self.finished_at - self.arrival
