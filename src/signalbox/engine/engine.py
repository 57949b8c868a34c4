"""A continuous-batching engine in steps: which requests share a batch, how long it takes, what they hold meanwhile.

A batch costs only what changes in it: sequences that end, that need a new block, or that prefill. Of a run of batches
in which nothing happens but one more token each, all up to the next event are taken in one jump.
"""

from collections import deque
from itertools import pairwise

from signalbox.engine.adapters import AdapterTiers
from signalbox.engine.blocks import BlockPool
from signalbox.engine.config import EngineConfig
from signalbox.engine.decoding import DecodingSet
from signalbox.engine.profile import EngineProfile
from signalbox.engine.requests import Phase, Request, RequestState
from signalbox.engine.results import EngineStats, StepResult
from signalbox.engine.run import DecodeRun


class RequestTooLarge(Exception):
    """A request that can never fit: its tokens exceed the context or the whole KV cache."""


class Engine:
    """One model on one GPU. Every ``now`` is a time in seconds that never goes back."""

    def __init__(self, profile: EngineProfile, config: EngineConfig, *, each_batch: bool = True) -> None:
        """``each_batch`` says whether results list every single batch: ``inter_token`` and ``batch_tokens``."""
        self.profile = profile
        self.config = config
        self._each_batch = each_batch
        self._unit = config.block_size * config.hash_blocks  # tokens a hash stands for
        self.adapters = AdapterTiers(
            config.max_loras,
            config.max_cpu_loras,
            profile.lora_disk_seconds(config.max_lora_rank),
            profile.lora_copy_seconds(config.max_lora_rank),
        )
        self._pool = BlockPool(config.num_gpu_blocks, config.hash_blocks)
        self._states: dict[str, RequestState] = {}
        self._running: dict[RequestState, None] = {}  # in order of admission
        # One queue per adapter: a request whose adapter has no slot is overtaken without a walk over all that wait.
        self._waiting: dict[str | None, deque[RequestState]] = {}
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
        self._waiting.setdefault(request.adapter, deque()).append(state)
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
            self._dequeue(state)
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
        if not self.config.prefix_caching:
            return 0
        found, _ = self._pool.match(request.block_hashes, (request.prompt_tokens - 1) // self._unit)
        return found * self._unit

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

    def stats(self) -> EngineStats:
        """Counts as of the last call that changed something."""
        waiting = deferred = 0
        for adapter, queue in self._waiting.items():
            waiting += len(queue)
            if not self.adapters.admissible(adapter):
                deferred += len(queue)
        return EngineStats(
            running=len(self._running),
            waiting=waiting,
            deferred=deferred,
            kv_usage=self._pool.live / self._pool.total,
            live_blocks=self._pool.live,
            prefix_queries=self._prefix_queries,
            prefix_hits=self._prefix_hits,
            preemptions=self._preemptions,
            prompt_tokens=self._prompt_tokens,
            generation_tokens=self._generation_tokens,
            adapters_in_flight=self.adapters.in_flight,
            adapters_resident=self.adapters.resident,
            adapters_in_host_memory=self.adapters.in_host_memory,
        )

    @property
    def batch_end(self) -> float | None:
        """When the batch in progress ends; ``None`` where there is none."""
        return self._batch_end

    def uncomputed_tokens(self) -> int:
        """Prompt tokens of all requests here that no batch has taken yet, less what the prefix cache would spare."""
        state = self._prefill
        tokens = 0 if state is None else self._prefill_length(state) - state.computed
        for queue in self._waiting.values():
            for state in queue:
                tokens += self._prefill_length(state) - self.cached_tokens(state.request)
        return tokens

    # -- starting a batch ---------------------------------------------------------------------------------------------

    def _next_start(self) -> float | None:
        if self._running:
            return self._free_at
        if not self._waiting:
            return None
        return max(self._free_at, min(queue[0].arrival for queue in self._waiting.values()))

    def _jump(self, run: DecodeRun, now: float, result: StepResult) -> float:
        """Take all batches of the run that end by ``now``, but for the one in which a sequence ends, if there is room
        for the KV blocks they need; when the next batch starts."""
        decoding = self._decoding
        before = decoding.tick - run.tick
        count = min(run.ended_by(now) - before, decoding.batches_to_an_end() - 1)
        if count < 1 or not self._pool.allocate(decoding.blocks_for(count)):
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
        for state in self._decoding.due():
            if state.phase is not Phase.DECODE:
                continue  # preempted for an earlier one of this list
            self._publish(state, self._computed(state) // self._unit)
            while not self._pool.allocate(1):
                victim = next(reversed(self._running))
                self._preempt(victim)
                preempted = True
                if victim is state:
                    break
            else:
                state.private += 1
        return preempted

    def _admit(self, start: float, budget: int) -> tuple[RequestState, int, float] | None:
        state = self._next_waiting(start)
        if state is None:
            return None
        size, unit, length = self.config.block_size, self._unit, self._prefill_length(state)
        # The last token is always computed: its logits give the next one.
        found, idle = self._pool.match(state.hashes, (length - 1) // unit) if self.config.prefix_caching else (0, 0)
        chunk = min(budget, length - found * unit)
        hash_blocks = self.config.hash_blocks
        if -(-(found * unit + chunk) // size) - found * hash_blocks > self._pool.free - idle * hash_blocks:
            return None
        self._dequeue(state)
        self._pool.share(state.hashes[:found])
        state.shared = state.hashes[:found]
        state.published = found
        state.computed = found * unit
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
        size = self.config.block_size
        end = state.computed + chunk
        blocks = -(-end // size) - len(state.shared) * self.config.hash_blocks - state.private
        if not self._pool.allocate(blocks):
            return False
        state.private += blocks
        state.computed = end
        self._publish(state, end // self._unit)
        if end == self._prefill_length(state):
            self._prefilled.append(state)
            self._prefill = None
        else:
            self._prefill = state
        return True

    def _next_waiting(self, start: float) -> RequestState | None:
        best: RequestState | None = None
        for adapter, queue in self._waiting.items():
            head = queue[0]
            if (
                head.arrival <= start
                and (best is None or head.order < best.order)
                and self.adapters.admissible(adapter)
            ):
                best = head
        return best

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
            self._publish(state, self._computed(state) // self._unit)
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
        self._offering += self._offers(request)

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
        self._waiting.setdefault(state.request.adapter, deque()).appendleft(state)

    def _leave_batch(self, state: RequestState) -> None:
        """Undo everything a sequence holds in the running batch."""
        self._run = None
        if state.phase is Phase.DECODE:
            self._decoding.leave(state)
            self._offering -= self._offers(state.request)
        elif state is self._prefill:
            self._prefill = None
        else:
            self._prefilled.remove(state)
        del self._running[state]
        self._pool.release(state.shared, state.private)
        state.shared, state.private, state.published, state.computed = [], 0, 0, 0
        if state.request.adapter is not None:
            self.adapters.part(state.request.adapter)

    def _end(self, state: RequestState, phase: Phase, now: float) -> None:
        state.phase = phase
        state.finished_at = now
        del self._states[state.request.id]
        if state.request.adapter is not None:
            self.adapters.leave(state.request.adapter)

    def _dequeue(self, state: RequestState) -> None:
        queue = self._waiting[state.request.adapter]
        queue.remove(state)  # the head, except for a cancel
        if not queue:
            del self._waiting[state.request.adapter]

    # -- blocks -------------------------------------------------------------------------------------------------------

    def _prefill_length(self, state: RequestState) -> int:
        return state.request.prompt_tokens + state.base_generated

    def _computed(self, state: RequestState) -> int:
        """Tokens of a decoding sequence whose KV exists: all but the newest."""
        return state.request.prompt_tokens + self.generated(state) - 1

    def _offers(self, request: Request) -> bool:
        return request.tokens_between is not None and self.config.prefix_caching

    def _publish(self, state: RequestState, full: int) -> None:
        """Offer what the sequence's first ``full`` hashes stand for to the prefix cache, as far as tokens are known."""
        if not self.config.prefix_caching:
            return
        unit, hashes = self._unit, state.hashes
        while state.published < full:
            index = state.published
            if index == len(hashes):
                if state.request.tokens_between is None:
                    return
                parent = hashes[-1] if hashes else state.request.root
                hashes.append(hash((parent, tuple(state.request.tokens_between(index * unit, (index + 1) * unit)))))
            if self._pool.publish(hashes[index]):
                state.private -= self.config.hash_blocks
                state.shared.append(hashes[index])
            state.published += 1
