"""From a page of metrics to readings."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from signalbox.pool.readings import Readings
from signalbox.signals import ENGINES, VLLM, parse_metrics, with_overrides

VLLM_PAGE = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 8.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 3.0
# TYPE vllm:num_requests_waiting_by_reason gauge
vllm:num_requests_waiting_by_reason{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct",reason="capacity"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct",reason="deferred"} 1.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 0.4213
# TYPE vllm:prefix_cache_queries_total counter
vllm:prefix_cache_queries_total{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 32.0
vllm:prefix_cache_queries_created{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 1.7537953e+09
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="0",num_cpu_blocks="None",num_gpu_blocks="27000"} 1.0
# TYPE vllm:lora_requests_info gauge
vllm:lora_requests_info{max_lora="2",running_lora_adapters="",waiting_lora_adapters=""} 1.789828490000000e+09
vllm:lora_requests_info{max_lora="2",running_lora_adapters="alpaca",waiting_lora_adapters="alpaca"} 1.7898284988021e+09
# TYPE vllm:request_success_total counter
vllm:request_success_total{engine="0",finished_reason="length",model_name="meta-llama/Llama-3.1-8B-Instruct"} 131.0
"""


def lora(*rows: tuple[str, str, str], most: str = "2") -> Readings:
    """Readings of a page with one LoRA series for each (running, waiting, value)."""
    lines = [
        f'vllm:lora_requests_info{{max_lora="{most}",'
        f'running_lora_adapters="{running}",waiting_lora_adapters="{waiting}"}} {value}'
        for running, waiting, value in rows
    ]
    return parse_metrics("# TYPE vllm:lora_requests_info gauge\n" + "\n".join(lines) + "\n")


def test_a_page_of_vllm() -> None:
    assert parse_metrics(VLLM_PAGE) == Readings(
        waiting=3,
        running=8,
        kv_usage=0.4213,
        block_size=16,
        kv_blocks=27000,
        lora_active=frozenset({"alpaca"}),
        lora_max=2,
    )


@pytest.mark.parametrize(
    "as_sent",
    [
        lambda page: page.encode(),
        lambda page: page.replace("\n", "\r\n").encode(),
        lambda page: page.rstrip("\n"),
        lambda page: "garbage {\n\n" + page + "vllm:num_requests_waiting{",
    ],
)
def test_bytes_text_line_ends_and_broken_lines_make_no_difference(as_sent: Callable[[str], bytes | str]) -> None:
    assert parse_metrics(as_sent(VLLM_PAGE)) == parse_metrics(VLLM_PAGE)


def test_what_is_not_on_the_page_is_not_known() -> None:
    assert parse_metrics("vllm:num_requests_waiting 4\n") == Readings(waiting=4)
    assert parse_metrics("") == Readings()


def test_requests_are_summed_over_engines_and_the_fullest_cache_counts() -> None:
    page = "".join(
        f'vllm:num_requests_waiting{{engine="{rank}"}} {waiting}\n'
        f'vllm:num_requests_running{{engine="{rank}"}} {running}\n'
        f'vllm:kv_cache_usage_perc{{engine="{rank}"}} {usage}\n'
        f'vllm:cache_config_info{{block_size="16",engine="{rank}",num_gpu_blocks="100"}} 1.0\n'
        for rank, waiting, running, usage in ((0, 2, 5, 0.25), (1, 7, 1, 0.75))
    )
    assert parse_metrics(page) == Readings(waiting=9, running=6, kv_usage=0.75, block_size=16, kv_blocks=200)


def test_ranks_of_a_tensor_parallel_group_report_the_same_requests() -> None:
    page = "".join(
        f'sglang:num_queue_reqs{{dp_rank="{dp}",model_name="m",tp_rank="{tp}"}} {3 + dp}\n'
        for dp in (0, 1)
        for tp in (0, 1)
    )
    assert parse_metrics(page, ENGINES["sglang"]).waiting == 3 + 4


def test_a_series_that_comes_twice_counts_once_with_its_latest_value() -> None:
    page = 'vllm:num_requests_running{m="x"} 15 200\nvllm:num_requests_running{m="x"} 10 100\n'
    assert parse_metrics(page).running == 15


def test_the_first_name_present_wins() -> None:
    old, new = "vllm:gpu_cache_usage_perc 0.2\n", "vllm:kv_cache_usage_perc 0.6\n"
    assert parse_metrics(old).kv_usage == 0.2
    assert parse_metrics(old + new).kv_usage == 0.6
    assert parse_metrics(old + "vllm:kv_cache_usage_perc NaN\n").kv_usage == 0.2


@pytest.mark.parametrize(
    ("written", "value"),
    [("1e2", 100.0), ("+3", 3.0), ("2.5E-1", 0.25), ("7 1700000000000", 7.0), ("0", 0.0), ("1.0\r", 1.0)],
)
def test_numbers_as_prometheus_writes_them(written: str, value: float) -> None:
    assert parse_metrics(f"vllm:num_requests_waiting {written}\n").waiting == value


@pytest.mark.parametrize("written", ["NaN", "+Inf", "-Inf", "inf", "-1", "four", "", "0x10"])
def test_no_usable_number_is_no_reading(written: str) -> None:
    assert parse_metrics(f'vllm:num_requests_waiting{{a="b"}} {written}\n').waiting is None


def test_a_usage_above_one_is_one() -> None:
    assert parse_metrics("vllm:kv_cache_usage_perc 1.02\n").kv_usage == 1.0


@pytest.mark.parametrize("unknown", ["None", "", "auto", "NaN", "-1", "0"])
def test_a_cache_that_is_not_profiled_yet_is_not_known(unknown: str) -> None:
    page = f'vllm:cache_config_info{{block_size="32",num_gpu_blocks="{unknown}"}} 1.0\n'
    assert parse_metrics(page) == Readings(block_size=32)


class TestLora:
    def test_the_newest_series_wins_wherever_it_stands(self) -> None:
        readings = lora(("a,b", "", "100.5"), ("c, d ,", " c", "101.25"), ("e", "f", "101"))
        assert readings.lora_active == frozenset({"c", "d"})

    def test_running_and_waiting_are_one_set(self) -> None:
        assert lora(("a", "a,b", "5")).lora_active == frozenset({"a", "b"})

    def test_of_several_newest_none_is_known_to_be_the_last(self) -> None:
        assert lora(("a", "", "1700000000"), ("b", "", "1.7e9"), ("c", "", "1699999999")).lora_active == frozenset(
            {"a", "b"}
        )

    def test_an_empty_newest_series_means_none_in_flight(self) -> None:
        assert lora(("a", "", "1"), ("", "", "2")).lora_active == frozenset()

    def test_a_declared_family_without_series_means_none_in_flight(self) -> None:
        assert lora().lora_active == frozenset()
        assert lora().lora_max is None

    def test_no_family_means_not_known(self) -> None:
        assert parse_metrics("vllm:num_requests_waiting 1\n").lora_active is None

    def test_a_limit_that_is_no_number_is_not_known(self) -> None:
        readings = lora(("a", "", "1"), most="2a")
        assert (readings.lora_active, readings.lora_max) == (frozenset({"a"}), None)

    def test_resident_adapters_are_those_in_gpu_memory(self) -> None:
        page = (
            'vllm:lora_adapter_loaded{adapter_name="a",level="gpu",pinned="false"} 1\n'
            'vllm:lora_adapter_loaded{adapter_name="b",level="cpu",pinned="false"} 1\n'
            'vllm:lora_adapter_loaded{adapter_name="c",level="gpu",pinned="false"} 0\n'
            "vllm:max_gpu_lora_adapters 4\n"
        )
        assert parse_metrics(page) == Readings(lora_resident=frozenset({"a"}), lora_max=4)


@pytest.mark.parametrize(
    ("engine", "page"),
    [
        (
            "sglang",
            'sglang:num_queue_reqs{model_name="m"} 3.0\nsglang:num_running_reqs{model_name="m"} 2.0\n'
            'sglang:token_usage{model_name="m"} 0.28\nsglang:cache_config_info{page_size="64",num_pages="500"} 1.0\n',
        ),
        (
            "sglang",
            "sglang:num_queue_reqs 3\nsglang:num_running_reqs 2\nsglang:token_usage 0.28\n"
            "sglang:page_size 64\nsglang:num_pages 500\n",
        ),
        (
            "trtllm-serve",
            "trtllm_num_requests_waiting 3\ntrtllm_num_requests_running 2\ntrtllm_kv_cache_utilization 0.28\n"
            "trtllm_kv_cache_tokens_per_block 64\ntrtllm_kv_cache_max_blocks 500\n",
        ),
        (
            "triton-tensorrt-llm",
            'nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="waiting",version="1"} 3\n'
            'nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="scheduled",version="1"} 2\n'
            'nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="max",version="1"} 512\n'
            'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction",model="tensorrt_llm",version="1"} 0.28\n'
            'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="tokens_per",model="tensorrt_llm",version="1"} 64\n'
            'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max",model="tensorrt_llm",version="1"} 500\n',
        ),
    ],
)
def test_other_engines_say_the_same_under_other_names(engine: str, page: str) -> None:
    assert parse_metrics(page, ENGINES[engine]) == Readings(
        waiting=3, running=2, kv_usage=0.28, block_size=64, kv_blocks=500
    )


def test_a_user_s_own_metric_is_read() -> None:
    own = with_overrides(VLLM, waiting='queue{path="a\\"b"}')
    page = 'queue{path="other"} 1\nqueue{path="a\\"b",x="}"} 2\nqueue_total{path="a\\"b"} 9\n'
    assert parse_metrics(page, own).waiting == 2


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise(noise: bytes) -> None:
    assert parse_metrics(noise) is not None


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from([*VLLM.families, b"{", b"}", b'"', b"\\", b" ", b"\n", b"=", b",", b"1e999", b"\xff", b"le"])
    )
)
def test_no_shuffled_page_makes_it_raise(pieces: list[bytes]) -> None:
    assert parse_metrics(b"".join(pieces)) is not None


_label_values = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_counts = st.floats(min_value=0, max_value=1e12) | st.sampled_from([math.nan, math.inf, 0.0])


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.tuples(_label_values, _label_values), _counts, max_size=4), st.booleans())
def test_it_agrees_with_prometheus_own_parser(series: dict[tuple[str, str], float], noise: bool) -> None:
    registry = CollectorRegistry()
    gauge = Gauge("vllm:num_requests_waiting", "Waiting.", ["engine", "model_name"], registry=registry)
    for (engine, model), value in series.items():
        gauge.labels(engine, model).set(value)
    if noise:
        Histogram("vllm:num_requests_waiting_seconds", "Else.", registry=registry).observe(1)
    page = generate_latest(registry).decode()
    theirs = [
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "vllm:num_requests_waiting" and math.isfinite(sample.value)
    ]
    ours = parse_metrics(page).waiting
    assert ours == (pytest.approx(sum(theirs)) if theirs else None)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters=","), max_size=10), max_size=4))
def test_adapter_names_come_through_escaping(names: list[str]) -> None:
    registry = CollectorRegistry()
    info = Gauge(
        "vllm:lora_requests_info",
        "LoRA.",
        ["max_lora", "running_lora_adapters", "waiting_lora_adapters"],
        registry=registry,
    )
    info.labels("4", ",".join(names), "").set(1.5)
    assert parse_metrics(generate_latest(registry)).lora_active == frozenset({name.strip() for name in names} - {""})


def test_host_memory_that_keeps_prefixes_is_read_where_an_engine_tells_of_it() -> None:
    page = (
        'sglang:hicache_host_total_tokens{model_name="m",tp_rank="0"} 200000\n'
        'sglang:hicache_host_total_tokens{model_name="m",tp_rank="1"} 200000\n'
    )
    assert parse_metrics(page, ENGINES["sglang"]).offload_tokens == 200_000
    ranks = page.replace("tp_rank", "dp_rank")
    assert parse_metrics(ranks, ENGINES["sglang"]).offload_tokens == 400_000
    assert parse_metrics(page).offload_tokens is None
    assert parse_metrics("sglang:hicache_host_total_tokens NaN\n", ENGINES["sglang"]).offload_tokens is None
