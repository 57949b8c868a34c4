"""What is replayed: requests with their times, lengths and prompts, where a prompt is a chain of block names."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import msgspec

_MASK = (1 << 64) - 1


class TraceRequest(msgspec.Struct, frozen=True):
    """One request of a trace."""

    at: float
    """Seconds after the first request of the trace."""
    prompt_tokens: int
    output_tokens: int
    blocks: tuple[int, ...] = ()
    """Names of the prompt's blocks, 64 bits each: the same name stands for the same prompt up to the end of that block.
    Empty for a prompt that shares nothing with any other."""
    model: str = ""
    adapter: str = ""
    """The LoRA adapter the request is for; empty for the base model."""
    priority: int = 0
    """Below zero may be refused, as an InferenceObjective says it."""
    session: str = ""
    tenant: str = ""
    """Who is to have a fair share where requests wait in the picker."""
    max_tokens: int | None = None
    """The limit the client sent along, if it did."""
    stream: bool = True
    """Whether the answer comes token by token, so that the picker sees when the first one does."""
    usage: bool = True
    """Whether the answer says how many tokens it took."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests in the order of their arrival."""

    name: str
    requests: tuple[TraceRequest, ...]
    block_tokens: int = 512
    """Tokens to a block of a prompt."""
    notes: tuple[str, ...] = ()
    """What a reader of the results should know about it."""

    @property
    def seconds(self) -> float:
        """From the first arrival to the last."""
        return self.requests[-1].at - self.requests[0].at if self.requests else 0.0

    @property
    def rate(self) -> float:
        """Requests a second, on average; 0 for fewer than two."""
        return (len(self.requests) - 1) / self.seconds if self.seconds else 0.0

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the adapters asked for, sorted."""
        return tuple(sorted({request.adapter for request in self.requests} - {""}))

    def first(self, count: int) -> Workload:
        """The same without all but the first ``count`` requests."""
        return replace(self, requests=self.requests[:count])

    def faster(self, factor: float) -> Workload:
        """The same with arrivals ``factor`` times as close together; lengths stay."""
        requests = tuple([msgspec.structs.replace(request, at=request.at / factor) for request in self.requests])
        return replace(self, requests=requests)

    def with_adapters(self, count: int, exponent: float = 1.0, seed: int = 0) -> Workload:
        """The same with an adapter for every request, out of ``count`` whose popularity falls as
        ``1 / rank ** exponent`` (Zipf)."""
        names = [f"adapter-{number}" for number in range(count)]
        weights = list(accumulate(1 / rank**exponent for rank in range(1, count + 1)))
        chosen = random.Random(seed).choices(names, cum_weights=weights, k=len(self.requests))
        pairs = zip(self.requests, chosen, strict=True)
        return replace(
            self, requests=tuple([msgspec.structs.replace(request, adapter=name) for request, name in pairs])
        )

    def spread(self, seed: int = 0, limit: int | None = None) -> Workload:
        """The same with requests of one moment scattered evenly at random over the trace's usual step (the median),
        but not beyond its next moment; of these the first ``limit``. Says in ``notes`` how many of them were
        scattered, where there were any."""
        moments = sorted({request.at for request in self.requests})
        if len(moments) in (len(self.requests), 1):
            return self if limit is None else self.first(limit)
        steps = [after - at for at, after in pairwise(moments)]
        usual = sorted(steps)[len(steps) // 2]
        width = dict(zip(moments, [*(min(step, usual) for step in steps), usual], strict=True))
        together = Counter(request.at for request in self.requests)
        rng = random.Random(seed)
        scattered = [
            msgspec.structs.replace(request, at=request.at + rng.random() * width[request.at])
            if together[request.at] > 1
            else request
            for request in self.requests
        ]
        kept = sorted(range(len(scattered)), key=lambda number: scattered[number].at)[:limit]
        requests = in_order([scattered[number] for number in kept])
        count = sum(together[self.requests[number].at] > 1 for number in kept)
        if not count:
            return replace(self, requests=requests)
        note = f"{count} requests share a moment with others; each is put at random within the trace's usual step"
        return replace(self, requests=requests, notes=(*self.notes, note))

    def with_unstreamed(self, share: float, seed: int = 0) -> Workload:
        """The same with answers that come in one piece for this share of the requests (0 to 1)."""
        rng = random.Random(seed)
        requests = [
            msgspec.structs.replace(request, stream=request.stream and rng.random() >= share)
            for request in self.requests
        ]
        return replace(self, requests=tuple(requests))

    def with_sheddable(self, share: float, seed: int = 0) -> Workload:
        """The same with priority -1 for this share of the requests (0 to 1)."""
        rng = random.Random(seed)
        return replace(
            self,
            requests=tuple(
                [
                    msgspec.structs.replace(request, priority=-1 if rng.random() < share else request.priority)
                    for request in self.requests
                ]
            ),
        )


def mixed(number: int) -> int:
    """Spread a number over 64 bits, one to one: the finalizer of SplitMix64 (Steele, Lea and Flood, 2014)."""
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)


def chain(contents: Iterable[int]) -> tuple[int, ...]:
    """Names for blocks of which only the content of each is known: a name covers its block and all before it."""
    names = []
    parent = 0
    for content in contents:
        parent = mixed(parent ^ mixed(content & _MASK))
        names.append(parent)
    return tuple(names)


def in_order(requests: Sequence[TraceRequest]) -> tuple[TraceRequest, ...]:
    """Sort by arrival and count time from the first."""
    if not requests:
        return ()
    ordered = sorted(requests, key=lambda request: request.at)
    start = ordered[0].at
    if start == 0.0:
        return tuple(ordered)
    return tuple([msgspec.structs.replace(request, at=request.at - start) for request in ordered])
