"""A continuous-batching engine in steps: which requests share a batch, how long it takes, what they hold meanwhile.

A batch costs only what changes in it: sequences that end, that need a new block, or that prefill. Of a run of batches
in which nothing happens but one more token each, all up to the next event are taken in one jump.
"""

from __future__ import annotations

from itertools import pairwise

from signalbox.engine.adapters import AdapterTiers
from signalbox.engine.cache_changes import CacheChange
from signalbox.engine.config import EngineConfig
from signalbox.engine.decoding import DecodingSet
from signalbox.engine.memory import KVMemory
from signalbox.engine.profile import EngineProfile
from signalbox.engine.requests import Phase, Request, RequestState
from signalbox.engine.results import EngineStats, StepResult
from signalbox.engine.run import DecodeRun
from signalbox.engine.waiting import WaitingQueues


class RequestTooLarge(Exception):
    """A request that can never fit: its tokens exceed the context or the whole KV cache."""


class Engine:
    """One model on one GPU. Every ``now`` is a time in seconds that never goes back."""

    def __init__(self, profile: EngineProfile, config: EngineConfig, *, each_batch: bool = True) -> None:
        """``each_batch`` says whether results list every single batch: ``inter_token`` and ``batch_tokens``."""
        self.profile = profile
        self.config = config
        self._each_batch = each_batch
        self.adapters = AdapterTiers(
            config.max_loras,
            config.max_cpu_loras,
            profile.lora_disk_seconds(config.max_lora_rank),
            profile.lora_copy_seconds(config.max_lora_rank),
        )
        self._memory = KVMemory(config)
        self._states: dict[str, RequestState] = {}
        self._running: dict[RequestState, None] = {}  # in order of admission
        self._waiting = WaitingQueues(self.adapters)
        self._order = 0
        self._decoding = DecodingSet(config.block_size)
        self._run: DecodeRun | None = None  # while nothing but decoding goes on
        self._offering = 0  # decoding sequences that offer what they generate to the prefix cache
        self._last_arrival = 0.0
        self._prefill: RequestState | None = None  # the one sequence whose prompt is only partly computed
        self._prefilled: list[RequestState] = []  # sequences whose prompt the batch in progress completes
        self._batch_end: float | None = None
        self._batch_prefill_tokens = 0
        self._duration = 0.0
        self._free_at = 0.0
        self._last_commit = 0.0
        self._prefix_queries = self._prefix_hits = self._preemptions = 0
        self._prompt_tokens = self._generation_tokens = 0

    def submit(self, request: Request, now: float) -> RequestState:
        """Queue a request; raises RequestTooLarge, UnknownAdapter, or ValueError for an id in use or no tokens."""
        config = self.config
        if request.prompt_tokens < 1 or request.output_tokens < 1:
            raise ValueError(f"request {request.id!r}: needs at least one prompt token and one output token")
        if request.id in self._states:
            raise ValueError(f"request {request.id!r}: the id is in use by a request in flight")
        tokens = request.prompt_tokens + request.output_tokens
        if tokens > config.max_model_len:
            raise RequestTooLarge(f"request {request.id!r}: {tokens} tokens; max_model_len is {config.max_model_len}")
        blocks = -(-(tokens - 1) // config.block_size)  # the last token's KV is never stored
        if blocks > config.num_gpu_blocks:
            raise RequestTooLarge(f"request {request.id!r}: {blocks} KV blocks; the cache has {config.num_gpu_blocks}")
        if request.adapter is not None:
            self.adapters.arrive(request.adapter)
        state = RequestState(request, now, self._order)
        self._order += 1
        self._states[request.id] = state
        self._waiting.append(state)
        self._last_arrival = max(self._last_arrival, now)
        self._run = None
        return state

    def cancel(self, request_id: str, now: float) -> RequestState | None:
        """End a request at once and free what it holds; None if it is not in flight."""
        state = self._states.get(request_id)
        if state is None:
            return None
        state.base_generated = self.generated(state)
        if state.phase is Phase.WAITING:
            self._waiting.remove(state)
            self._run = None  # those behind it may be smaller
        else:
            self._leave_batch(state)
        self._end(state, Phase.CANCELLED, now)
        return state

    def load_adapter(self, name: str, now: float) -> float:
        """Load an adapter; the seconds until it is ready. No batch starts meanwhile, as in vLLM."""
        seconds = self.adapters.load(name)
        self._free_at = max(self._free_at, now) + seconds
        self._run = None
        return seconds

    def unload_adapter(self, name: str) -> bool:
        """Refuse new requests for an adapter; those in flight finish. False if it was not loaded."""
        return self.adapters.unload(name)

    def generated(self, state: RequestState) -> int:
        """Tokens this request has produced so far."""
        if state.phase is Phase.DECODE:
            return self._decoding.generated(state)
        return state.base_generated

    def cached_tokens(self, request: Request) -> int:
        """Prompt tokens the prefix cache would spare this request if it were scheduled now. Changes nothing."""
        return self._memory.spared(request.block_hashes, request.prompt_tokens)

    def step(self, now: float) -> StepResult:
        """Finish every batch that ends by ``now``, start those that follow, and report.

        Called with a time far ahead it runs through all batches up to there, which is how virtual time jumps.
        """
        result = StepResult()
        while True:
            if self._batch_end is not None:
                if self._batch_end > now:
                    result.next_at, result.duration = self._batch_end, self._duration
                    return result
                self._commit(self._batch_end, result)
            start = self._next_start()
            if start is None or start > now:
                result.next_at = start
                return result
            if self._run is not None:
                start = self._jump(self._run, now, result)
            self._start(start)

    def listen_to_cache(self) -> None:
        """From now on, note what becomes of the prefix cache, for `cache_changes`."""
        self._memory.pool.changes = []

    def cache_changes(self) -> list[CacheChange]:
        """Return what became of the prefix cache since the last call, in order."""
        pool = self._memory.pool
        changes = pool.changes
        if not changes:
            return []
        pool.changes = []
        return changes

    def stats(self) -> EngineStats:
        """Counts as of the last call that changed something."""
        waiting, deferred = self._waiting.counts()
        pool = self._memory.pool
        return EngineStats(
            running=len(self._running),
            waiting=waiting,
            deferred=deferred,
            kv_usage=pool.live / pool.total,
            live_blocks=pool.live,
            prefix_queries=self._prefix_queries,
            prefix_hits=self._prefix_hits,
            preemptions=self._preemptions,
            prompt_tokens=self._prompt_tokens,
            generation_tokens=self._generation_tokens,
            adapters_in_flight=self.adapters.in_flight,
            adapters_resident=self.adapters.resident,
            adapters_in_host_memory=self.adapters.in_host_memory,
        )

    def waiting_at_batch(self) -> int:
        """How many of those who wait did so already when the batch in progress began; all where there is none."""
        since = self._last_arrival if self._batch_end is None else self._batch_end - self._duration
        return sum([state.arrival <= since for state in self._waiting])

    @property
    def next_outcome(self) -> float | None:
        """The earliest moment at which somebody here may get a first token or end, as long as nobody else is submitted;
        ``None`` where there is nothing to do."""
        if self._batch_end is None:
            return self._next_start()
        if self._run is None:
            return self._batch_end
        decoding = self._decoding
        batches = decoding.batches_to_an_end()
        if decoding.blocks_for(batches) > self._memory.pool.free:
            return self._batch_end  # somebody may be preempted on the way
        return self._run.end(decoding.tick - self._run.tick + batches)

    def fork(self) -> Engine:
        """A copy that goes its own way: what would become of this engine if it were told something else."""
        copy = Engine.__new__(Engine)
        copy.__dict__.update(self.__dict__)
        twins = {state: state.fork() for state in self._states.values()}
        copy._states = {state.request.id: state for state in twins.values()}
        copy._running = {twins[state]: None for state in self._running}
        copy.adapters = self.adapters.fork()
        copy._memory = self._memory.fork(self.config)
        copy._waiting = self._waiting.fork(copy.adapters, twins)
        copy._decoding = self._decoding.fork(twins)
        copy._prefill = None if self._prefill is None else twins[self._prefill]
        copy._prefilled = [twins[state] for state in self._prefilled]
        return copy

    @property
    def in_flight(self) -> tuple[RequestState, ...]:
        """Every request that was submitted and has not ended, in order."""
        return tuple(self._states.values())

    # -- starting a batch ---------------------------------------------------------------------------------------------

    def _next_start(self) -> float | None:
        if self._running:
            return self._free_at
        if not self._waiting:
            return None
        return max(self._free_at, self._waiting.earliest())

    def _jump(self, run: DecodeRun, now: float, result: StepResult) -> float:
        """Take all batches of the run that end by ``now``, but for the one in which a sequence ends, if there is room
        for the KV blocks they need; when the next batch starts."""
        decoding = self._decoding
        before = decoding.tick - run.tick
        count = min(run.ended_by(now) - before, decoding.batches_to_an_end() - 1)
        if count < 1 or not self._memory.pool.allocate(decoding.blocks_for(count)):
            return self._free_at
        decoding.jump(count)
        tokens = count * decoding.count
        self._generation_tokens += tokens
        result.tokens += tokens
        if self._each_batch:
            ends = [run.end(before + number) for number in range(count + 1)]
            result.inter_token += [(end - last, decoding.count) for last, end in pairwise(ends)]
            result.batch_tokens += [decoding.count] * count
        self._last_commit = self._free_at = run.end(before + count)
        return self._free_at

    def _start(self, start: float) -> None:
        preempted = self._extend_decoding()
        if self._run is not None:
            self._batch_prefill_tokens = 0
            self._batch_end = self._run.end(self._decoding.tick - self._run.tick + 1)
            self._duration = self._batch_end - start
            self._free_at = self._batch_end
            return
        decoding = self._decoding
        budget = self.config.max_num_batched_tokens - decoding.count
        prefill_tokens = kv_tokens = 0
        seconds = 0.0
        if self._prefill is not None:
            state = self._prefill
            chunk = min(budget, self._prefill_length(state) - state.computed)
            if self._compute(state, chunk):
                prefill_tokens += chunk
                kv_tokens += state.computed
            else:  # it is the newest, so it is the one to give way
                self._preempt(state)
                preempted = True
        while not preempted and prefill_tokens < budget and len(self._running) < self.config.max_num_seqs:
            admitted = self._admit(start, budget - prefill_tokens)
            if admitted is None:
                break
            state, chunk, load_seconds = admitted
            prefill_tokens += chunk
            kv_tokens += state.computed
            seconds += load_seconds
        if prefill_tokens or decoding.count:
            seconds += self.profile.step_time(prefill_tokens, decoding.count, decoding.kv_tokens + kv_tokens)
            if not (prefill_tokens or preempted or self._offering or start < self._last_arrival):
                # Who waits now waits until something changes: what it needs is not free, and less will be.
                self._run = DecodeRun(start, decoding.tick, seconds, self.profile.kv_read_seconds * decoding.count)
        self._batch_prefill_tokens = prefill_tokens
        self._duration = seconds
        self._batch_end = start + seconds
        self._free_at = max(self._free_at, self._batch_end)

    def _extend_decoding(self) -> bool:
        """Give a new block to each sequence that needs one in this batch; whether anything was preempted for it."""
        preempted = False
        memory = self._memory
        for state in self._decoding.due():
            if state.phase is not Phase.DECODE:
                continue  # preempted for an earlier one of this list
            if self._offering:
                memory.publish(state, self._computed(state))
            while not memory.pool.allocate(1):
                victim = next(reversed(self._running))
                self._preempt(victim)
                preempted = True
                if victim is state:
                    break
            else:
                state.private += 1
        return preempted

    def _admit(self, start: float, budget: int) -> tuple[RequestState, int, float] | None:
        state = self._waiting.next(start)
        if state is None:
            return None
        chunk = self._memory.admit(state, self._prefill_length(state), budget)
        if chunk is None:
            return None
        self._waiting.remove(state)
        state.phase = Phase.PREFILL
        self._running[state] = None
        if state.cached_tokens is None:  # a resumed request is not asked for twice
            state.cached_tokens = state.computed
            state.scheduled_at = start
            self._prefix_queries += state.request.prompt_tokens
            self._prefix_hits += state.computed
        adapter = state.request.adapter
        load_seconds = 0.0 if adapter is None else self.adapters.join(adapter)
        self._compute(state, chunk)
        return state, chunk, load_seconds

    def _compute(self, state: RequestState, chunk: int) -> bool:
        """Plan ``chunk`` more prompt tokens of a sequence into this batch; False if their blocks do not fit."""
        if not self._memory.extend(state, state.computed + chunk):
            return False
        if state.computed == self._prefill_length(state):
            self._prefilled.append(state)
            self._prefill = None
        else:
            self._prefill = state
        return True

    # -- finishing a batch --------------------------------------------------------------------------------------------

    def _commit(self, end: float, result: StepResult) -> None:
        self._batch_end = None
        self._decoding.advance()
        tokens = self._decoding.count
        if self._each_batch:
            if tokens:
                result.inter_token.append((end - self._last_commit, tokens))
            result.batch_tokens.append(self._batch_prefill_tokens + tokens)
        prefilled, self._prefilled = self._prefilled, []
        for state in prefilled:
            self._begin_decode(state, end, result)
        tokens += len(prefilled)
        for state in self._decoding.ended():
            if self._offering:
                self._memory.publish(state, self._computed(state))
            state.base_generated = state.request.output_tokens
            state.last_token_at = end
            self._leave_batch(state)
            self._end(state, Phase.FINISHED, end)
            result.finished.append(state)
        result.tokens += tokens
        self._generation_tokens += tokens
        self._last_commit = end

    def _begin_decode(self, state: RequestState, end: float, result: StepResult) -> None:
        request = state.request
        if state.first_token_at is None:
            state.first_token_at = end
            self._prompt_tokens += request.prompt_tokens
            result.first_tokens.append(state)
        elif self._each_batch:
            result.inter_token.append((end - state.last_token_at, 1))
        state.last_token_at = end
        self._decoding.begin(state)
        self._run = None
        self._offering += self._memory.offers(request)

    # -- leaving ------------------------------------------------------------------------------------------------------

    def _preempt(self, state: RequestState) -> None:
        """Take a running sequence off the GPU; its KV is recomputed when it is its turn again."""
        state.base_generated = self.generated(state)
        if state.phase is Phase.DECODE:
            state.last_token_at = self._last_commit
        self._leave_batch(state)
        state.phase = Phase.WAITING
        state.preemptions += 1
        self._preemptions += 1
        self._waiting.put_back(state)

    def _leave_batch(self, state: RequestState) -> None:
        """Undo everything a sequence holds in the running batch."""
        self._run = None
        if state.phase is Phase.DECODE:
            self._decoding.leave(state)
            self._offering -= self._memory.offers(state.request)
        elif state is self._prefill:
            self._prefill = None
        else:
            self._prefilled.remove(state)
        del self._running[state]
        self._memory.release(state)
        if state.request.adapter is not None:
            self.adapters.part(state.request.adapter)

    def _end(self, state: RequestState, phase: Phase, now: float) -> None:
        state.phase = phase
        state.finished_at = now
        del self._states[state.request.id]
        if state.request.adapter is not None:
            self.adapters.leave(state.request.adapter)

    # -- lengths ------------------------------------------------------------------------------------------------------

    def _prefill_length(self, state: RequestState) -> int:
        return state.request.prompt_tokens + state.base_generated

    def _computed(self, state: RequestState) -> int:
        """Tokens of a decoding sequence whose KV exists: all but the newest."""
        return state.request.prompt_tokens + self.generated(state) - 1
