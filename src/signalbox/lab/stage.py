"""What a policy under test may build upon, and how the lab gives it prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import xxhash

from signalbox.director import PreciseTracker, Rules, guide_rules, policy_rules
from signalbox.director.prefixes import Lookup, PrefixTracker
from signalbox.engine import Engine
from signalbox.engine import Request as EngineRequest
from signalbox.lab.workload import TraceRequest, mixed
from signalbox.payloads import Request
from signalbox.payloads.prompts import BYTES_PER_TOKEN
from signalbox.pool import Pool
from signalbox.scheduling import load_policy
from signalbox.scheduling.configuration.accepted import PrefixIndexParameters
from signalbox.scheduling.prefix import PrefixMatch, PromptBlocks

_ODD = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)
_NAME = 0xFFFF_FFFF_FFFF_0000  # of a block's name: the rest counts tokens within the block

MOST_BLOCK_TOKENS = 0xFFFF
"""Largest block of a trace that can be told apart token by token."""


class TracedRequest(Request):
    """A request out of a trace, as the director sees it: there is no body, its prompt is named by blocks."""

    __slots__ = ("asked", "trace")

    def __init__(self, model: str, trace: TraceRequest, asked: EngineRequest) -> None:
        super().__init__("completions", model, trace.stream, trace.max_tokens, b"", {})
        self.trace = trace
        self.asked = asked
        """The same as an engine is asked it."""

    @property
    def prompt_chars(self) -> int:
        """Four to a token, as text is estimated."""
        return self.trace.prompt_tokens * BYTES_PER_TOKEN

    def with_model(self, name: str) -> bytes:
        """There is no body to put another name into."""
        return b""


@dataclass(slots=True)
class Stage:
    """One replay's pool and engines. A policy that could exist in production looks at the pool alone; the rest is for
    baselines that know what nobody can."""

    pool: Pool
    block_tokens: int
    engines: dict[int, Engine] = field(default_factory=dict)
    """By the row of their endpoint, ready or not any more. Up to date at every decision."""
    request: TracedRequest | None = None
    """The request that is being decided: its true output length is ``request.trace.output_tokens``."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A policy to be replayed: ``rules`` builds it anew for each replay, for an empty pool."""

    name: str
    rules: Callable[[Stage], Rules]


def configured(text: str, name: str) -> Contender:
    """The policy of an EndpointPickerConfig; raises `InvalidPolicy` as ``signalbox validate`` reports it."""
    load_policy(text, name=name)  # now rather than in the middle of a replay
    return Contender(name, partial(_configured_rules, text, name))


def guide() -> Contender:
    """The filter tree that decides without a configuration."""
    return Contender("guide", _guide_rules)


def _configured_rules(text: str, name: str, stage: Stage) -> Rules:
    return policy_rules(load_policy(text, name=name), stage.pool)


def _guide_rules(stage: Stage) -> Rules:
    return guide_rules()


def staged(rules: Rules, stage: Stage) -> Rules:
    """The same rules with a prefix index that reads a trace's prompts; the engines' caches where theirs is precise."""
    if rules.prefix is None or isinstance(rules.prefix, TracePrefixes):
        return rules
    if isinstance(rules.prefix, PreciseTracker):
        return replace(rules, prefix=TruePrefixes(stage, rules.prefix.parameters))
    return replace(rules, prefix=TracePrefixes(stage, rules.prefix.parameters))


class TracePrefixes(PrefixTracker):
    """The picker's own prefix index over prompts that are named and not written out."""

    def __init__(self, stage: Stage, parameters: PrefixIndexParameters) -> None:
        super().__init__(stage.pool, parameters)
        self.stage = stage
        self._salts: dict[str, np.uint64] = {}

    def cut(self, request: Request, target: str, block_size: int, most: int) -> PromptBlocks:
        """Name the blocks of the index: by the trace's block that each ends in, and by where in it."""
        assert isinstance(request, TracedRequest)
        trace = request.trace
        salt = self._salts.get(target)
        if salt is None:
            salt = self._salts[target] = np.uint64(xxhash.xxh64_intdigest(target.encode()) & _NAME)
        tokens = trace.prompt_tokens
        count = min(-(-tokens // block_size), most // block_size)
        ends = np.arange(1, count + 1) * block_size
        np.minimum(ends, tokens, out=ends)
        places, offsets = np.divmod(ends - 1, self.stage.block_tokens)
        named = np.array(trace.blocks, np.uint64)
        unnamed = int(places[-1]) + 1 - len(named) if count else 0
        if unnamed > 0:  # what the trace does not name is like nothing else
            own = np.uint64(mixed(id_of(request))) + (np.arange(unnamed, dtype=np.uint64) << np.uint64(16))
            named = np.concatenate([named, own])
        names = ((named & np.uint64(_NAME)) ^ salt)[places] | offsets.astype(np.uint64)
        names *= _ODD
        names ^= names >> _HALF
        return PromptBlocks((names.tolist(),), tokens, block_size)


class TruePrefixes(TracePrefixes):
    """Which endpoint holds a prompt, read from the engines' caches themselves: what an index fed by KV events knows
    when no event is late or lost. It knows nothing of prompts that are still waiting to be computed."""

    def look_up(self, request: Request, target: str) -> Lookup:
        """Ask every engine."""
        assert isinstance(request, TracedRequest)
        size = self.stage.block_tokens
        blocks = np.zeros(self.stage.pool.columns.size)
        for row, engine in self.stage.engines.items():
            blocks[row] = engine.cached_tokens(request.asked) // size
        tokens = request.trace.prompt_tokens
        prompt = PromptBlocks((), tokens, size)
        return Lookup(prompt, PrefixMatch(blocks, -(-tokens // size), size, tokens))


def salted(blocks: tuple[int, ...], adapter: str | None) -> tuple[int, ...]:
    """Names for an engine's cache: what an adapter computes is of no use to another."""
    if adapter is None or not blocks:
        return blocks
    salt = xxhash.xxh64_intdigest(adapter.encode())
    return tuple([block ^ salt for block in blocks])


def id_of(request: TracedRequest) -> int:
    """The number of a request in its trace."""
    return int(request.asked.id)
