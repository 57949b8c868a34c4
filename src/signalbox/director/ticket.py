"""What stands for a routed request from its routing to its end.

A class of its own rather than a ``msgspec.Struct``: those who make and read it are compiled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from signalbox.admission.flow import Serving
from signalbox.director.prefixes import Lookup, PrefixTracker
from signalbox.director.wait import Wait
from signalbox.pool import Charge, Endpoint
from signalbox.scheduling import Policy
from signalbox.scheduling.latency import Predicted
from signalbox.scheduling.prefix import Insertion

if TYPE_CHECKING:
    from signalbox.director.events import Completion, Course


class Ticket:
    """One request between its routing and its end. Times are seconds of the caller's clock."""

    __slots__ = (
        "ahead",
        "api",
        "cached_tokens",
        "charge",
        "completion",
        "course",
        "decoding",
        "endpoint",
        "fallbacks",
        "finished_at",
        "first_byte_at",
        "insertions",
        "lookup",
        "model",
        "moved",
        "noted",
        "objective",
        "policy",
        "predicted",
        "priority",
        "prompt_tokens_estimate",
        "received_at",
        "request_bytes",
        "request_id",
        "rewrite",
        "serving",
        "slo_tpot",
        "slo_ttft",
        "stage_charges",
        "stream",
        "target",
        "tracker",
        "wait",
    )

    def __init__(
        self,
        request_id: str,
        model: str,
        target: str,
        priority: int,
        endpoint: Endpoint,
        fallbacks: tuple[Endpoint, ...],
        received_at: float,
        request_bytes: int,
        stream: bool,
        prompt_tokens_estimate: int,
        api: str = "",
        objective: str | None = None,
        slo_ttft: float | None = None,
        slo_tpot: float | None = None,
        rewrite: str = "",
        first_byte_at: float | None = None,
    ) -> None:
        self.request_id = request_id
        self.model = model
        """The name the client asked for."""
        self.target = target
        """The name sent to the server, after rewriting."""
        self.priority = priority
        self.endpoint = endpoint
        """Who serves it: the first choice, or the fallback that was reported."""
        self.fallbacks = fallbacks
        self.received_at = received_at
        self.request_bytes = request_bytes
        self.stream = stream
        self.prompt_tokens_estimate = prompt_tokens_estimate
        self.api = api
        """Which API the client used: ``chat``, ``completions`` and so on."""
        self.objective = objective
        """The InferenceObjective the client named."""
        self.slo_ttft = slo_ttft
        """Seconds to the first token that the client asked for (``x-slo-ttft-ms``)."""
        self.slo_tpot = slo_tpot
        """Seconds per output token that the client asked for (``x-slo-tpot-ms``)."""
        self.rewrite = rewrite
        """Name of the InferenceModelRewrite that chose the target, if one did."""
        self.first_byte_at = first_byte_at
        self.tracker: PrefixTracker | None = None
        """Who remembers this request's prompt: the index of the rules it was routed by."""
        self.insertions: tuple[Insertion, ...] = ()
        """What that index learned from it: one for each endpoint that computes its prompt, who answers first."""
        self.lookup: Lookup | None = None
        """Its prompt and who held the beginning, until the answer begins: another endpoint may serve it."""
        self.course: Course | None = None
        """Where a plugin wants to follow it to that endpoint, until then."""
        self.stage_charges: tuple[Charge, ...] = ()
        """The same request on the accounts of its prefill and encode endpoints."""
        self.cached_tokens: float = 0.0
        """How much of the prompt its endpoint was believed to hold."""
        self.policy: Policy | None = None
        """Who chose, where it wants to hear of first tokens and ends."""
        self.ahead: float = 0.0
        """For it: prompt tokens the first choice had to compute before this request's."""
        self.decoding: float = 0.0
        """For it: requests of ours that were past their first token there."""
        self.moved: bool = False
        """Whether a fallback served it."""
        self.predicted: Predicted | None = None
        """How fast its first choice was expected to answer, where a plugin asked for that."""
        self.wait: Wait | None = None
        """How it waited for its turn, where requests may have to."""
        self.serving: Serving | None = None
        """For a sheddable request that may be taken back from its server, until it ends: by whom."""
        self.charge: Charge | None = None
        """This request on its endpoint's in-flight account, until it ends."""
        self.noted: bool = False
        """Whether the journal keeps its decision."""
        self.completion: Completion | None = None
        """For the journal: how it ended, once it has."""
        self.finished_at: float | None = None
        """For the journal: and when."""

    @property
    def routed_at(self) -> float:
        """When its wait was over, in seconds: what its server has to answer for begins here."""
        return self.received_at if self.wait is None else self.received_at + self.wait.seconds
