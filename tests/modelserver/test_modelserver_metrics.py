import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

Serve = Callable[..., Awaitable[Any]]
OWN = {"engine": "0", "model_name": "m"}


async def families(client: Any) -> dict[str, Metric]:
    """The page as prometheus_client reads it; every family appears once."""
    status, page = await client.get("/metrics")
    assert status == 200
    found = list(text_string_to_metric_families(page))
    assert len({family.name for family in found}) == len(found)
    return {family.name: family for family in found}


def value(page: dict[str, Metric], family: str, sample: str = "", **labels: str) -> float:
    (found,) = [
        s.value
        for s in page[f"vllm:{family}"].samples
        if s.name == f"vllm:{sample or family}" and labels.items() <= s.labels.items()
    ]
    return found


async def test_every_family_has_its_type(serve: Serve) -> None:
    page = await families(await serve("--enable-lora"))
    kinds = {
        "gauge": "num_requests_running num_requests_waiting num_requests_waiting_by_reason kv_cache_usage_perc "
        "cache_config_info lora_requests_info prefix_cache_hits_created request_success_created",
        "counter": "prefix_cache_queries prefix_cache_hits num_preemptions prompt_tokens generation_tokens "
        "request_success",
        "histogram": "time_to_first_token_seconds inter_token_latency_seconds e2e_request_latency_seconds "
        "request_queue_time_seconds request_inference_time_seconds request_prefill_time_seconds "
        "request_decode_time_seconds request_time_per_output_token_seconds request_prompt_tokens "
        "request_generation_tokens request_params_max_tokens request_params_n request_max_num_generation_tokens "
        "iteration_tokens_total",
    }
    for kind, names in kinds.items():
        assert {name: page[f"vllm:{name}"].type for name in names.split()} == dict.fromkeys(names.split(), kind)


async def test_every_series_says_model_and_engine(serve: Serve) -> None:
    page = await families(await serve("--served-model-name", 'odd "name"'))
    own = {"engine": "0", "model_name": 'odd "name"'}
    for family in page.values():
        if family.name != "vllm:cache_config_info":
            assert all(own.items() <= sample.labels.items() for sample in family.samples)


async def test_counters_after_some_requests(serve: Serve) -> None:
    client = await serve()
    body = {"prompt": list(range(40)), "max_tokens": 5, "ignore_eos": True}
    for _ in range(2):
        await client.post("/v1/completions", body)
    page = await families(client)
    assert value(page, "prompt_tokens", "prompt_tokens_total") == 80
    assert value(page, "generation_tokens", "generation_tokens_total") == 10
    assert value(page, "prefix_cache_queries", "prefix_cache_queries_total") == 80
    assert value(page, "prefix_cache_hits", "prefix_cache_hits_total") == 32
    assert value(page, "request_success", "request_success_total", finished_reason="length") == 2
    assert value(page, "request_success", "request_success_total", finished_reason="stop") == 0
    counts = {
        "time_to_first_token_seconds": 2,
        "inter_token_latency_seconds": 8,
        "e2e_request_latency_seconds": 2,
        "request_prompt_tokens": 2,
        "iteration_tokens_total": 10,
    }
    assert {name: value(page, name, f"{name}_count") for name in counts} == counts
    assert value(page, "request_generation_tokens", "request_generation_tokens_sum") == 10


async def test_histograms_are_cumulative_and_have_vllms_bounds(serve: Serve) -> None:
    client = await serve("--max-model-len", "3000")
    await client.post("/v1/completions", {"prompt": list(range(30)), "max_tokens": 5})
    page = await families(client)
    buckets = [s for s in page["vllm:request_prompt_tokens"].samples if s.name.endswith("_bucket")]
    bounds = ["1.0", "2.0", "5.0", "10.0", "20.0", "50.0", "100.0", "200.0", "500.0", "1000.0", "2000.0", "+Inf"]
    assert [s.labels["le"] for s in buckets] == bounds
    assert [s.value for s in buckets] == [0] * 5 + [1] * 7
    first = [s.labels["le"] for s in page["vllm:time_to_first_token_seconds"].samples if "le" in s.labels]
    assert (first[0], first[-2], len(first)) == ("0.001", "2560.0", 23)


async def test_the_cache_is_described_in_strings(serve: Serve) -> None:
    page = await families(await serve("--block-size", "32", "--no-enable-prefix-caching"))
    (sample,) = page["vllm:cache_config_info"].samples
    assert sample.value == 1
    assert sample.labels["block_size"] == "32"
    assert sample.labels["enable_prefix_caching"] == "False"
    assert int(sample.labels["num_gpu_blocks"]) > 10_000
    assert (sample.labels["num_cpu_blocks"], sample.labels["engine"]) == ("None", "0")


async def test_gauges_while_requests_run_and_wait(serve: Serve) -> None:
    client = await serve("--speed", "0.01", "--max-num-seqs", "1", "--enable-lora", "--lora-modules", "a=/a", "b=/b")
    calls = [asyncio.ensure_future(client.post("/v1/completions", {"model": "a", "prompt": "x"})) for _ in range(3)]
    driver = client.server.driver
    await client.until(lambda: driver.in_flight == 3 and driver.engine.stats().running == 1)
    page = await families(client)
    assert value(page, "num_requests_running") == 1
    assert value(page, "num_requests_waiting") == 2
    assert value(page, "num_requests_waiting_by_reason", reason="capacity") == 2
    assert value(page, "num_requests_waiting_by_reason", reason="deferred") == 0
    assert 0 < value(page, "kv_cache_usage_perc") < 0.01
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_without_lora_there_is_no_lora_family(serve: Serve) -> None:
    assert "vllm:lora_requests_info" not in await families(await serve())


async def test_each_set_of_adapters_leaves_its_series_and_the_newest_wins(serve: Serve) -> None:
    client = await serve("--enable-lora", "--max-loras", "2", "--lora-modules", "a=/a", "b=/b")
    assert (await families(client))["vllm:lora_requests_info"].samples == []
    for model in ("a", "b"):
        await client.post("/v1/completions", {"model": model, "prompt": "x", "max_tokens": 500, "ignore_eos": True})
    samples = (await families(client))["vllm:lora_requests_info"].samples
    by_time = sorted(samples, key=lambda sample: sample.value)
    # "a" and then "b" were in flight, nobody is now; running and waiting both name every adapter in flight.
    assert [s.labels["running_lora_adapters"] for s in by_time] == ["a", "b", ""]
    assert [s.labels["waiting_lora_adapters"] for s in by_time] == ["a", "b", ""]
    assert {s.labels["max_lora"] for s in samples} == {"2"}
    assert all("model_name" not in s.labels for s in samples)
    assert len({s.value for s in samples}) == 3
