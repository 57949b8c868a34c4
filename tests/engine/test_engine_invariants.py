from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from signalbox.engine import (
    DEFAULT_PROFILE,
    PROFILES,
    Engine,
    EngineConfig,
    Request,
    RequestState,
    RequestTooLarge,
    UnknownAdapter,
    chain_hashes,
)

BLOCK = 4


class EngineMachine(RuleBasedStateMachine):
    """Any mix of arrivals, cancels, adapter changes and steps in a cache that is far too small."""

    @initialize(blocks=st.integers(4, 12), seqs=st.integers(1, 5), budget=st.integers(5, 24), unit=st.integers(1, 3))
    def start(self, blocks: int, seqs: int, budget: int, unit: int) -> None:
        self.limits = EngineConfig(
            num_gpu_blocks=blocks,
            block_size=BLOCK,
            max_num_seqs=seqs,
            max_num_batched_tokens=budget,
            max_loras=1,
            max_cpu_loras=2,
            hash_blocks=unit,
        )
        self.engine = Engine(replace(PROFILES[DEFAULT_PROFILE], step_seconds=1.0), self.limits)
        self.now = 0.0
        self.states: list[RequestState] = []
        self.finished: list[RequestState] = []
        self.tokens = 0

    @rule(prompt=st.integers(1, 30), output=st.integers(1, 12), adapter=st.sampled_from([None, None, "x", "y"]))
    def arrive(self, prompt: int, output: int, adapter: str | None) -> None:
        tokens = [*range(prompt), *range(100, 100 + output)]  # prompts share their beginnings
        root = 0 if adapter is None else ord(adapter)
        request = Request(
            str(len(self.states)),
            prompt,
            output,
            chain_hashes(tokens[:prompt], BLOCK * self.limits.hash_blocks, root),
            adapter,
            (lambda start, stop: tokens[start:stop]) if prompt % 3 else None,
            root,
        )
        try:
            self.states.append(self.engine.submit(request, self.now))
        except RequestTooLarge:
            assert -(-(prompt + output - 1) // BLOCK) > self.limits.num_gpu_blocks
        except UnknownAdapter:
            assert adapter is not None

    @rule(ahead=st.floats(0, 6))
    def step(self, ahead: float) -> None:
        self.now += ahead
        result = self.engine.step(self.now)
        self.finished += result.finished
        self.tokens += result.tokens
        assert result.next_at is None or result.next_at > self.now
        assert max(result.batch_tokens, default=0) <= self.limits.max_num_batched_tokens

    @precondition(lambda self: self.states)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        state = data.draw(st.sampled_from(self.states))
        was_over = state.ended
        assert (self.engine.cancel(state.request.id, self.now) is None) == was_over

    @rule(name=st.sampled_from("xyz"))
    def load(self, name: str) -> None:
        assert self.engine.load_adapter(name, self.now) > 0

    @rule(name=st.sampled_from("xyz"))
    def unload(self, name: str) -> None:
        self.engine.unload_adapter(name)

    @invariant()
    def counts_make_sense(self) -> None:
        if not hasattr(self, "engine"):
            return
        stats = self.engine.stats()
        in_flight = sum(not state.ended for state in self.states)
        assert stats.running + stats.waiting == in_flight
        assert 0 <= stats.deferred <= stats.waiting
        assert stats.running <= self.limits.max_num_seqs
        assert 0 <= stats.kv_usage <= 1
        assert 0 <= stats.prefix_hits <= stats.prefix_queries
        assert (stats.live_blocks == 0) <= (stats.running == 0)
        assert len(stats.adapters_resident) <= 1
        assert len(stats.adapters_in_host_memory) <= 2
        assert stats.generation_tokens == self.tokens
        for state in self.states:
            assert 0 <= self.engine.generated(state) <= state.request.output_tokens

    def teardown(self) -> None:
        if not hasattr(self, "engine"):
            return
        self.finished += self.engine.step(self.now + 1e6).finished
        stats = self.engine.stats()
        assert (stats.running, stats.waiting, stats.live_blocks) == (0, 0, 0)
        assert stats.adapters_in_flight == ()
        assert all(state.ended for state in self.states)
        for state in self.finished:
            assert self.engine.generated(state) == state.request.output_tokens
            assert state.queue_seconds >= 0
            assert state.prefill_seconds > 0
            assert state.decode_seconds >= 0


TestEngineMachine = EngineMachine.TestCase
TestEngineMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
