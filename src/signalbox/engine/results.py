"""What a step reports, and what an engine looks like from outside."""

from dataclasses import dataclass, field

from signalbox.engine.requests import RequestState


@dataclass(slots=True)
class StepResult:
    """What happened since the last call. Each state carries its own times, so many steps can be reported at once.

    ``next_at`` is when the batch in progress ends (call ``step`` then) or None if there is nothing to do.
    ``inter_token`` holds (seconds between two tokens of a sequence, how many sequences); ``batch_tokens`` the tokens
    of each finished batch.
    """

    next_at: float | None = None
    duration: float = 0.0  # of the batch in progress, seconds
    tokens: int = 0
    first_tokens: list[RequestState] = field(default_factory=list)
    finished: list[RequestState] = field(default_factory=list)
    inter_token: list[tuple[float, int]] = field(default_factory=list)
    batch_tokens: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class EngineStats:
    """A snapshot. ``kv_usage`` is live blocks over all blocks; prefix counters are in tokens.

    ``deferred`` of the ``waiting`` requests are held back because their adapter would exceed the LoRA slots.
    """

    running: int
    waiting: int
    deferred: int
    kv_usage: float
    live_blocks: int
    prefix_queries: int
    prefix_hits: int
    preemptions: int
    prompt_tokens: int
    generation_tokens: int
    adapters_in_flight: tuple[str, ...]
    adapters_resident: tuple[str, ...]
    adapters_in_host_memory: tuple[str, ...]
