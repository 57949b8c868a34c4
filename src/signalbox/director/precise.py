"""The precise prefix index of one pool: prompts by their token ids, endpoints by their engines' reports.

Where nobody told a prompt's token ids, or nothing that any engine reports fits the index, the approximate index
answers, which then learns only of such prompts.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from signalbox.director.prefixes import Lookup, PrefixTracker
from signalbox.director.tokens import Tokens, salt_of
from signalbox.payloads import Request
from signalbox.payloads.prompts import BYTES_PER_TOKEN
from signalbox.pool import Endpoint, Pool
from signalbox.scheduling.configuration.accepted import PrefixIndexParameters
from signalbox.scheduling.prefix import MAX_TOKENS, Chain, Insertion, PrefixMatch, PromptBlocks
from signalbox.scheduling.prefix.cutting import REMEMBERED
from signalbox.scheduling.prefix.precise import PreciseIndex
from signalbox.scheduling.prefix.precise_events import Event
from signalbox.scheduling.prefix.precise_keys import prompt_keys
from signalbox.scheduling.prefix.precise_speculation import Expectation
from signalbox.scheduling.prefix.recent import Recent
from signalbox.scheduling.prefix.token_source import TokenSource
from signalbox.scheduling.producers.precise_prefix_cache import PrecisePrefixParameters


class PreciseLookup(Lookup, frozen=True):
    """A prompt by its token ids."""

    now: float


class Expected(Insertion):
    """A prompt that is expected where it was sent."""

    expectations: list[Expectation]


class PreciseFigures(msgspec.Struct):
    """What was asked of the index."""

    lookups: int = 0
    """Prompts looked up by their token ids."""
    hits: int = 0
    """Those of which some endpoint held a block."""
    estimated: int = 0
    """Prompts looked up in the approximate index, for want of token ids or of blocks that fit."""


class PreciseTracker(PrefixTracker):
    """Looks prompts up by their token ids, where these are known, and takes in what engines report."""

    def __init__(
        self, pool: Pool, parameters: PrefixIndexParameters, precise: PrecisePrefixParameters, source: TokenSource
    ) -> None:
        super().__init__(pool, parameters)
        self.precise = precise
        self.source = source
        """Who tells token ids."""
        self.figures = PreciseFigures()
        indexer = precise.indexer_config
        self.index = PreciseIndex(
            precise.token_processor_config.block_size_tokens, indexer.weights, indexer.kv_block_index_config.entries
        )
        self._known: Recent[Chain] = Recent(REMEMBERED)
        self._owners: dict[int, Endpoint] = {}

    # -- what engines report ------------------------------------------------------------------------------------

    def begin(self, endpoint: Endpoint) -> None:
        """Events of ``endpoint`` come from now on: nothing is known of whoever had its row before."""
        self.index.forget(endpoint.row)
        self._owners[endpoint.row] = endpoint

    def take_in(self, endpoint: Endpoint, event: Event) -> None:
        """Take in what the engine of ``endpoint`` reports; nothing where its row is another's by now."""
        owner = self._owners.get(endpoint.row)
        if owner is None:  # it left and came back before anybody else looked
            present = self._pool.by_row.get(endpoint.row)
            if present is None or not present.same_server(endpoint):
                return
            owner = self._owners[endpoint.row] = present
        if owner.same_server(endpoint):
            self.index.apply(endpoint.row, event)

    def lose(self, endpoint: Endpoint) -> None:
        """What ``endpoint`` holds is not known any more."""
        owner = self._owners.get(endpoint.row)
        if owner is not None and owner.same_server(endpoint):
            self.index.forget(endpoint.row)

    # -- what is asked ------------------------------------------------------------------------------------------

    def look_up_tokens(self, request: Request, target: str, tokens: Tokens | None, now: float) -> Lookup:
        """Match a prompt for the model ``target``."""
        index = self.index
        if tokens is None or not index.usable:
            self.figures.estimated += 1
            return self.look_up(request, target)
        index.speculation.settle(now)
        size = index.block_size
        adapter = self._adapter(target)
        salt = salt_of(request)
        left = MAX_TOKENS // size
        chains = []
        for number, sequence in enumerate(tokens.sequences):
            extras = _extras(tokens, size, salt) if salt or (tokens.media and not number) else None
            chain = prompt_keys(sequence, adapter, size, left, extras, self._known)
            left -= len(chain)
            chains.append(chain)
        length = sum([len(sequence) for sequence in tokens.sequences]) // BYTES_PER_TOKEN
        blocks = PromptBlocks(tuple(chains), length, size)
        held, *others = [index.match(chain, self._pool.columns.size) for chain in chains or [[]]]
        for other in others:
            held += other
        self.figures.lookups += 1
        self.figures.hits += bool(held.any())
        return PreciseLookup(blocks, PrefixMatch(held, blocks.total, size, length), now)

    def _adapter(self, target: str) -> str:
        """The adapter that ``target`` is, empty for a name of the base model."""
        columns = self._pool.columns
        known = target in self.index.adapters or target in columns.adapters or target in columns.resident
        return target if known else ""

    def remember(self, lookup: Lookup, endpoint: Endpoint) -> Insertion | None:
        """The prompt goes to ``endpoint``: where speculation is on, it is expected there for a while."""
        if not isinstance(lookup, PreciseLookup):
            return super().remember(lookup, endpoint)
        if not self.precise.speculative_indexing:
            return None
        until = lookup.now + self.precise.speculative_ttl
        speculation = self.index.speculation
        expected = [speculation.expect(chain, endpoint.row, until) for chain in lookup.blocks.chains]
        return Expected(endpoint.row, 0, [], expected)

    def give_back(self, insertion: Insertion) -> None:
        """The request failed: its prompt is not expected any more, or was not cached after all."""
        if isinstance(insertion, Expected):
            for expectation in insertion.expectations:
                self.index.speculation.give_up(expectation)
        else:
            super().give_back(insertion)

    def move(self, insertion: Insertion, lookup: Lookup, endpoint: Endpoint) -> Insertion | None:
        """The prompt went to ``endpoint`` instead."""
        self.give_back(insertion)
        return self.remember(lookup, endpoint)

    def forget(self, endpoint: Endpoint) -> None:
        """The endpoint has left the pool."""
        super().forget(endpoint)
        owner = self._owners.get(endpoint.row)
        if owner is not None and owner.same_server(endpoint):
            del self._owners[endpoint.row]
            self.index.forget(endpoint.row)
        elif owner is None:
            self.index.forget(endpoint.row)


def _extras(tokens: Tokens, size: int, salt: str) -> dict[int, Sequence[str]]:
    """What belongs to each block beside its tokens: media that reach into it, and the salt in the first."""
    found: dict[int, list[str]] = {0: [salt]} if salt else {}
    for name, offset, length in tokens.media:
        for number in range(offset // size, (offset + max(length, 1) - 1) // size + 1):
            found.setdefault(number, []).append(name)
    return dict(found)
