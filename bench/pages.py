"""What the upstream answers: a completion with usage, a stream of events, a metrics page in vLLM's shape."""

from __future__ import annotations

import json

MODEL = "food-review-1"

COMPLETION = json.dumps(
    {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "text": "hello", "logprobs": None, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 100, "total_tokens": 111},
    }
)

SSE_USAGE = (
    b'data: {"id":"cmpl-1","object":"text_completion","created":1,"model":"food-review-1","choices":[],'
    b'"usage":{"prompt_tokens":11,"completion_tokens":50,"total_tokens":61}}\n\ndata: [DONE]\n\n'
)


def sse_chunk() -> bytes:
    """One event of a streamed completion, as long as vLLM's are (about 180 bytes)."""
    event = {
        "id": "cmpl-0123456789abcdef",
        "object": "text_completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "text": " hello", "logprobs": None, "finish_reason": None}],
    }
    return b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"


def _metrics_page() -> str:
    labels = f'engine="0",model_name="{MODEL}"'
    gauges = {"num_requests_running": 3.0, "num_requests_waiting": 0.0, "kv_cache_usage_perc": 0.25}
    lines = []
    for name, value in gauges.items():
        lines += [f"# HELP vllm:{name} A gauge.", f"# TYPE vllm:{name} gauge", f"vllm:{name}{{{labels}}} {value}"]
    lines += [
        "# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig",
        "# TYPE vllm:cache_config_info gauge",
        f'vllm:cache_config_info{{block_size="16",num_gpu_blocks="4096",{labels}}} 1.0',
        "# HELP vllm:lora_requests_info Running stats on lora requests.",
        "# TYPE vllm:lora_requests_info gauge",
        f'vllm:lora_requests_info{{max_lora="4",running_lora_adapters="{MODEL}",waiting_lora_adapters=""}} 1.7e+09',
    ]
    # A real page is mostly histograms nobody here reads; skipping them is part of what a scrape costs.
    for name in ("time_to_first_token_seconds", "time_per_output_token_seconds", "e2e_request_latency_seconds"):
        lines += [f"# HELP vllm:{name} A histogram.", f"# TYPE vllm:{name} histogram"]
        lines += [f'vllm:{name}_bucket{{le="{bound / 100}",{labels}}} {bound}.0' for bound in range(1, 23)]
        lines += [f"vllm:{name}_sum{{{labels}}} 12.5", f"vllm:{name}_count{{{labels}}} 23.0"]
    return "\n".join(lines) + "\n"


METRICS_PAGE = _metrics_page()
"""About 5 KB, with the families a picker reads and some it does not."""
