"""One decision in the making.

A class of its own rather than a ``msgspec.Struct``: those who read it most are compiled.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from signalbox.pool import Columns, Endpoint
from signalbox.scheduling.step import Step

if TYPE_CHECKING:
    from signalbox.scheduling.latency.predictions import Predictions
    from signalbox.scheduling.prefix.match import PrefixMatch

_NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})


class Cycle:
    """One decision in the making: the request's side of it and everything a plugin may look at."""

    __slots__ = (
        "columns",
        "endpoints",
        "headers",
        "media",
        "memo",
        "multimodal",
        "now",
        "peer",
        "predictions",
        "prefix",
        "priority",
        "prompt_tokens",
        "rng",
        "session",
        "slo_tpot",
        "slo_ttft",
        "steps",
        "target",
    )

    def __init__(
        self,
        target: str,
        priority: int,
        columns: Columns,
        rng: random.Random,
        steps: list[Step] | None = None,
        endpoints: Mapping[int, Endpoint] = _NOTHING,
        headers: Mapping[str, str] = _NOTHING,
        prompt_tokens: int = 0,
        now: float = 0.0,
        prefix: PrefixMatch | None = None,
        multimodal: bool = False,
        session: str | None = None,
        slo_ttft: float | None = None,
        slo_tpot: float | None = None,
        media: tuple[int, ...] = (),
        peer: int | None = None,
        predictions: Predictions | None = None,
        memo: dict[str, Any] | None = None,
    ) -> None:
        self.target = target
        """The model or adapter name the server will see."""
        self.priority = priority
        self.columns = columns
        self.rng = rng
        self.steps: list[Step] = [] if steps is None else steps
        self.endpoints = endpoints
        """Every ready endpoint by its row, for plugins that look at names and labels. A change of the pool's endpoints
        comes as another mapping, never as a change of this one: what plugins derive from labels is kept by its
        identity."""
        self.headers = headers
        """The request's headers, names in lower case."""
        self.prompt_tokens = prompt_tokens
        """Estimated length of the prompt."""
        self.now = now
        """Seconds of the caller's clock."""
        self.prefix = prefix
        """Which endpoints hold the beginning of the prompt; ``None`` where nobody looked it up."""
        self.multimodal = multimodal
        """Whether the prompt holds an image, a video or audio; only where a plugin of the policy ``reads_media``."""
        self.session = session
        """The session the request belongs to, where a session-id-producer found it."""
        self.slo_ttft = slo_ttft
        """Seconds to the first token that the client asked for."""
        self.slo_tpot = slo_tpot
        """Seconds per output token that the client asked for."""
        self.media = media
        """Hashes of the prompt's images, videos and sounds, each once; only where a plugin ``reads_media_items``."""
        self.peer = peer
        """The row that an earlier stage of this request chose: the decode server, while a prefill server is
        looked for."""
        self.predictions = predictions
        """How fast each endpoint is expected to answer, once a plugin has asked a predicted-latency-producer."""
        self.memo: dict[str, Any] = {} if memo is None else memo
        """What a plugin notes about this request for its own later hooks, under its name."""
