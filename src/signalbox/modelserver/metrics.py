"""vLLM's metrics: names, labels and buckets of current releases, from the engine's counters and the requests' times."""

import time
from collections.abc import Mapping

from signalbox.engine import EngineStats, RequestState, StepResult
from signalbox.modelserver.histogram import (
    CHOICES,
    SECONDS_PER_REQUEST,
    SECONDS_PER_TOKEN,
    SECONDS_TO_FIRST_TOKEN,
    TOKENS_PER_BATCH,
    Histogram,
    counter_lines,
    label_value,
    one_two_five,
)

FINISH_REASONS = ("stop", "length", "abort", "error")


class ServerMetrics:
    """Everything GET /metrics shows. ``max_lora`` is None on a server without LoRA."""

    def __init__(
        self, model_name: str, max_model_len: int, cache_config: Mapping[str, str], max_lora: int | None
    ) -> None:
        own = f'engine="0",model_name="{label_value(model_name)}"'
        self._finished = dict.fromkeys(FINISH_REASONS, 0)
        self._max_lora = max_lora
        self._lora: dict[str, float] = {}  # labels -> wall-clock time, one series for each set of adapters ever seen
        self._gauges = [
            _gauge("num_requests_running", "Requests in the running batch.", own),
            _gauge("num_requests_waiting", "Requests waiting to be scheduled.", own),
            _gauge("num_requests_waiting_by_reason", "Waiting requests by reason.", f'{own},reason="capacity"'),
            f'vllm:num_requests_waiting_by_reason{{{own},reason="deferred"}} ',
            _gauge("kv_cache_usage_perc", "KV cache in use; 1 is all of it.", own),
        ]
        counters = {
            "prefix_cache_queries": "Prompt tokens looked up in the prefix cache.",
            "prefix_cache_hits": "Prompt tokens found in the prefix cache.",
            "num_preemptions": "Requests preempted by the engine.",
            "prompt_tokens": "Prompt tokens processed.",
            "generation_tokens": "Tokens generated.",
        }
        self._counters = [counter_lines(f"vllm:{name}", text, [own]) for name, text in counters.items()]
        self._success = counter_lines(
            "vllm:request_success", "Requests ended.", [f'{own},finished_reason="{why}"' for why in FINISH_REASONS]
        )
        described = {**cache_config, "engine": "0"}
        labels = ",".join(f'{name}="{label_value(value)}"' for name, value in sorted(described.items()))
        self._cache_config = f"{_gauge('cache_config_info', 'The KV cache configuration.', labels)}1.0\n"
        self._lora_head = (
            "# HELP vllm:lora_requests_info Adapters of requests in flight; the value is when this was last so.\n"
            "# TYPE vllm:lora_requests_info gauge\n"
        )

        tokens = one_two_five(max_model_len)
        self._histograms: list[Histogram] = []

        def histogram(name: str, text: str, bounds: tuple[float, ...] | list[int]) -> Histogram:
            made = Histogram(f"vllm:{name}", text, own, bounds)
            self._histograms.append(made)
            return made

        self._batch = histogram("iteration_tokens_total", "Tokens per engine step.", TOKENS_PER_BATCH)
        self._first = histogram("time_to_first_token_seconds", "Time to first token.", SECONDS_TO_FIRST_TOKEN)
        self._inter = histogram("inter_token_latency_seconds", "Time between tokens.", SECONDS_PER_TOKEN)
        self._per_token = histogram("request_time_per_output_token_seconds", "Mean per token.", SECONDS_PER_TOKEN)
        self._total = histogram("e2e_request_latency_seconds", "Arrival to end.", SECONDS_PER_REQUEST)
        self._queue = histogram("request_queue_time_seconds", "Time waiting.", SECONDS_PER_REQUEST)
        self._inference = histogram("request_inference_time_seconds", "Time running.", SECONDS_PER_REQUEST)
        self._prefill = histogram("request_prefill_time_seconds", "Time in prefill.", SECONDS_PER_REQUEST)
        self._decode = histogram("request_decode_time_seconds", "Time in decode.", SECONDS_PER_REQUEST)
        self._prompt = histogram("request_prompt_tokens", "Prompt tokens of a request.", tokens)
        self._generation = histogram("request_generation_tokens", "Tokens generated for a request.", tokens)
        self._max_generation = histogram(
            "request_max_num_generation_tokens", "Most tokens generated for one choice of a request.", tokens
        )
        self._max_tokens = histogram("request_params_max_tokens", "The max_tokens parameter.", tokens)
        self._n = histogram("request_params_n", "The n parameter.", CHOICES)

    def stepped(self, result: StepResult, adapters: tuple[str, ...]) -> None:
        """Count what the engine reported; ``adapters`` are those with requests in flight."""
        for tokens in result.batch_tokens:
            self._batch.observe(tokens)
        for seconds, times in result.inter_token:
            self._inter.observe(seconds, times)
        for state in result.first_tokens:
            self._first.observe(state.first_token_seconds or 0.0)
        if adapters or self._lora:
            self.adapters_changed(adapters)

    def adapters_changed(self, adapters: tuple[str, ...]) -> None:
        """Stamp the series of this set of adapters. Both labels name every adapter in flight, as vLLM's do."""
        names = label_value(",".join(adapters))
        self._lora[f'running_lora_adapters="{names}",waiting_lora_adapters="{names}"'] = time.time()

    def finished(self, state: RequestState, generated: int, reason: str, max_tokens: int) -> None:
        """Count one choice that ended."""
        self._finished[reason] += 1
        decode, prefill = state.decode_seconds, state.prefill_seconds
        self._total.observe(state.total_seconds)
        self._queue.observe(state.queue_seconds)
        self._prefill.observe(prefill)
        self._decode.observe(decode)
        self._inference.observe(prefill + decode)
        self._prompt.observe(state.request.prompt_tokens)
        self._generation.observe(generated)
        self._max_tokens.observe(max_tokens)
        if generated > 1:
            self._per_token.observe(decode / (generated - 1))

    def request_ended(self, choices: int, most_generated: int) -> None:
        """Count one request of ``choices`` choices."""
        self._n.observe(choices)
        self._max_generation.observe(most_generated)

    def render(self, stats: EngineStats) -> bytes:
        """The whole page in the text exposition format."""
        gauges = (stats.running, stats.waiting, stats.waiting - stats.deferred, stats.deferred, stats.kv_usage)
        parts = [f"{prefix}{float(value)!r}\n" for prefix, value in zip(self._gauges, gauges, strict=True)]
        totals = (
            stats.prefix_queries,
            stats.prefix_hits,
            stats.preemptions,
            stats.prompt_tokens,
            stats.generation_tokens,
        )
        for ((prefix,), created), total in zip(self._counters, totals, strict=True):
            parts.append(f"{prefix}{total}.0\n{created}")
        prefixes, created = self._success
        parts += [f"{p}{n}.0\n" for p, n in zip(prefixes, self._finished.values(), strict=True)]
        parts += [created, self._cache_config]
        if self._max_lora is not None:
            parts.append(self._lora_head)
            parts += [
                f'vllm:lora_requests_info{{max_lora="{self._max_lora}",{labels}}} {stamp!r}\n'
                for labels, stamp in self._lora.items()
            ]
        parts += [histogram.render() for histogram in self._histograms]
        return "".join(parts).encode()


def _gauge(name: str, text: str, labels: str) -> str:
    return f"# HELP vllm:{name} {text}\n# TYPE vllm:{name} gauge\nvllm:{name}{{{labels}}} "
