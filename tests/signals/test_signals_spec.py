"""How a user names a metric."""

import pytest

from signalbox.signals import ENGINES, VLLM, InvalidMetricSpec, MetricSpec, engine_for, parse_spec, with_overrides


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("vllm:num_requests_waiting", MetricSpec("vllm:num_requests_waiting")),
        ("  m ", MetricSpec("m")),
        ("m{a=b}", MetricSpec("m", (("a", "b"),))),
        ("m {a=b, c = d}", MetricSpec("m", (("a", "b"), ("c", "d")))),
        ('m{a="b",c=d}', MetricSpec("m", (("a", "b"), ("c", "d")))),
        ('m{path="x=1,{y}"}', MetricSpec("m", (("path", "x=1,{y}"),))),
        (
            "nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=fraction}",
            MetricSpec("nv_trt_llm_kv_cache_block_metrics", (("kv_cache_block_type", "fraction"),)),
        ),
    ],
)
def test_a_name_with_or_without_labels(text: str, spec: MetricSpec) -> None:
    assert parse_spec(text) == spec


@pytest.mark.parametrize("text", ["", "   "])
def test_an_empty_text_switches_the_signal_off(text: str) -> None:
    assert parse_spec(text) is None


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("m{a=b", "never closed"),
        ("m{", "never closed"),
        ("m{a=b,", "never closed"),
        ("m}", "without its '{'"),
        ("m{a=b}}", "after the '}'"),
        ("m{{a=b}", "second '{'"),
        ("m{a={b}", "second '{'"),
        ("m{}", "block of labels is empty"),
        ("m{ }", "block of labels is empty"),
        ("m{a}", "'a' is not a pair"),
        ("m{a=b,c}", "'c' is not a pair"),
        ("m{a=b=c}", "more than one '='"),
        ('m{a="b"=c}', "more than one '='"),
        ("m{=b}", "a label name is empty"),
        ("m{a=}", "the value of 'a' is empty"),
        ("m{a=b,}", "missing after ','"),
        ('m{a="b"c}', "text after the value of 'a'"),
        ("m{1a=b}", "not a label name"),
        ("m{a=b} 1", "after the '}'"),
        ("{a=b}", "the metric name is empty"),
        ("two words", "not a metric name"),
    ],
)
def test_a_mistake_is_named_with_its_field_and_a_fix(text: str, what: str) -> None:
    with pytest.raises(InvalidMetricSpec) as raised:
        parse_spec(text, "loraInfoMetric")
    message = str(raised.value)
    assert message.startswith(f"loraInfoMetric {text!r}: ")
    assert what in message
    assert "; " in message


def test_a_spec_reads_back_what_it_prints() -> None:
    spec = MetricSpec("m", (("a", "b"), ("c", "d,e")))
    assert parse_spec(str(spec)) == spec


def test_the_engine_is_named_by_a_pod_label_and_is_vllm_otherwise() -> None:
    assert engine_for({"inference.networking.k8s.io/engine-type": "sglang"}) is ENGINES["sglang"]
    assert engine_for({"llm-d.ai/engine-type": "trtllm-serve"}) is ENGINES["trtllm-serve"]
    assert engine_for({"app": "x"}) is VLLM
    assert engine_for({"llm-d.ai/engine-type": "somebody-elses"}) is VLLM


def test_a_user_replaces_a_family_or_switches_it_off() -> None:
    own = with_overrides(VLLM, waiting="my_queue{kind=all}", lora_info="")
    assert own.waiting == (MetricSpec("my_queue", (("kind", "all"),)),)
    assert own.lora_info == ()
    assert own.kv_usage == VLLM.kv_usage
    with pytest.raises(InvalidMetricSpec, match="kvCacheUsagePercentageMetric"):
        with_overrides(VLLM, kv_usage="m{")
