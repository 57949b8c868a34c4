import shlex
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.engine import PROFILES
from signalbox.modelserver import BadArguments, parse_options

GUIDE = shlex.split(
    "python3 -m vllm.entrypoints.openai.api_server --model meta-llama/Llama-3.1-8B-Instruct --tensor-parallel-size 1 "
    "--port 8000 --max-num-seq 1024 --compilation-config 3 --enable-lora --max-loras 2 --max-lora-rank 8 "
    "--max-cpu-loras 12"
)


def test_the_guides_deployment_is_understood() -> None:
    options = parse_options(GUIDE)
    assert options.served_names == ("meta-llama/Llama-3.1-8B-Instruct",)
    assert (options.host, options.port) == ("0.0.0.0", 8000)
    assert options.engine.max_num_seqs == 1024  # --max-num-seq is an abbreviation, as argparse allows in vLLM
    assert (options.engine.max_loras, options.engine.max_cpu_loras, options.engine.max_lora_rank) == (2, 12, 8)
    assert options.not_simulated == ("--compilation-config",)


@pytest.mark.parametrize(
    "form",
    [
        ["--model", "m", "--port", "81"],
        ["serve", "m", "--port", "81"],
        ["vllm", "serve", "m", "--port=81"],
        ["/usr/bin/python3.12", "-m", "vllm.entrypoints.openai.api_server", "--model=m", "--port", "81"],
        ["m", "--port", "81"],
        ["vllm", "serve", "--port", "81", "--load-format", "dummy", "--trust-remote-code", "--model", "m"],
    ],
)
def test_every_form_of_vllms_command_line_says_the_same(form: list[str]) -> None:
    options = parse_options(form)
    assert (options.model, options.port) == ("m", 81)


def test_underscores_are_dashes() -> None:
    assert parse_options(["--model", "m", "--max_model_len=4096"]).engine.max_model_len == 4096


@pytest.mark.parametrize(("text", "tokens"), [("8192", 8192), ("8k", 8000), ("8K", 8192), ("1.5K", 1536)])
def test_lengths_can_be_short(text: str, tokens: int) -> None:
    assert parse_options(["--model", "m", "--max-model-len", text]).engine.max_model_len == tokens


def test_defaults_are_vllms_on_an_a100() -> None:
    options = parse_options(["m"])
    engine = options.engine
    assert (engine.max_num_seqs, engine.max_num_batched_tokens, engine.block_size) == (256, 2048, 16)
    assert (engine.max_model_len, engine.prefix_caching, engine.max_loras) == (131072, True, 0)
    assert options.profile is PROFILES["llama-3.1-8b-a100"]


def test_adapters_are_named_in_both_of_vllms_forms() -> None:
    given = '{"name": "b", "path": "/b", "base_model_name": "m"}'
    modules = parse_options(["m", "--enable-lora", "--lora-modules", "a=/a", given]).lora_modules
    assert [(module.name, module.path, module.base_model_name) for module in modules] == [
        ("a", "/a", None),
        ("b", "/b", "m"),
    ]


def test_other_arguments_of_vllm_are_accepted_and_listed_once() -> None:
    options = parse_options(["m", "--dtype", "bfloat16", "--enforce-eager", "--swap-space=4", "-dp", "2"])
    assert options.not_simulated == ("--dtype", "--enforce-eager", "--swap-space", "--data-parallel-size")


def test_lora_rank_and_slots_take_memory_from_the_kv_cache() -> None:
    without = parse_options(["m"]).engine.num_gpu_blocks
    assert parse_options(["m", "--enable-lora", "--max-loras", "4", "--max-lora-rank", "64"]).engine.num_gpu_blocks < (
        without
    )


def test_a_profile_can_be_adjusted() -> None:
    profile = parse_options(["m", "--engine-profile", '{"step_seconds": 0.5}']).profile
    assert profile.step_seconds == 0.5
    assert profile.prefill_seconds == PROFILES["llama-3.1-8b-a100"].prefill_seconds


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([], "--model"),
        (["--model", ""], "--model"),
        (["m", "--port", "x"], "--port"),
        (["m", "--port", "65536"], "--port"),
        (["m", "--max-num-seqs", "0"], "--max-num-seqs"),
        (["m", "--max-num-seqs", "many"], "--max-num-seqs"),
        (["m", "--max-num-seqs", "64", "--max-num-batched-tokens", "32"], "--max-num-batched-tokens"),
        (["m", "--enable-lora", "--max-loras", "4", "--max-cpu-loras", "2"], "--max-cpu-loras"),
        (["m", "--gpu-memory-utilization", "1.5"], "--gpu-memory-utilization"),
        (["m", "--gpu-memory-utilization", "0.1"], "--max-model-len"),
        (["m", "--num-gpu-blocks-override", "10"], "--max-model-len"),
        (["m", "--lora-modules", "nopath"], "--lora-modules"),
        (["m", "--lora-modules", '{"name": 3}'], "--lora-modules"),
        (["m", "--speed", "0"], "--speed"),
        (["m", "--speed", "nan"], "--speed"),
        (["m", "--speed", "inf"], "--speed"),
        (["m", "--drain-seconds", "-1"], "--drain-seconds"),
        (["m", "--engine-profile", "tpu"], "--engine-profile"),
        (["m", "--engine-profile", '{"step_second": 1}x'], "--engine-profile"),
        (["m", "--engine-profile", '{"step_second": 1}'], "step_second"),
        (["m", "--tensor-parallel-size", "0"], "--tensor-parallel-size"),
        (["m", "--max-lora", "2"], "--max-lora"),  # ambiguous, as in vLLM
        (["m", "--model"], "--model"),
    ],
)
def test_a_bad_argument_is_one_line_that_names_it(arguments: list[str], names: str) -> None:
    with pytest.raises(BadArguments) as raised:
        parse_options(arguments)
    assert names in str(raised.value)
    assert "\n" not in str(raised.value)


@given(st.lists(st.text(max_size=12), max_size=6))
def test_no_command_line_ends_in_a_traceback(words: list[str]) -> None:
    with suppress(BadArguments, SystemExit):  # the latter for -h
        assert parse_options(words).model
