"""Flags as the Go reference's manifests write them: ours, translated, accepted with a note, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.cli.pickers import parse
from typer.testing import CliRunner

from signalbox.cli.durations import seconds
from signalbox.cli.main import app
from signalbox.cli.reference_flags import UNUSED, UNUSED_SWITCHES, translate
from signalbox.cli.scraping import engines

GUIDE = Path(__file__).parents[2] / "examples" / "get-started" / "03-inferencepool-resources.yaml"
FLAGS = {"--pool-name": True, "--grpc-port": True, "--secure-serving": False, "-v": True, "--drain-seconds": True}


def test_the_guides_own_arguments_are_understood() -> None:
    deployment = next(d for d in yaml.safe_load_all(GUIDE.read_text()) if d and d["kind"] == "Deployment")
    options = parse(*deployment["spec"]["template"]["spec"]["containers"][0]["args"])
    assert (options.pool_name, options.verbosity, options.log_format) == ("vllm-llama3-8b-instruct", 4, "json")
    assert (options.grpc_port, options.health_port) == (9002, 9003)
    assert options.source is None


@pytest.mark.parametrize(
    "args",
    [
        ("-poolName", "p", "-grpcPort", "1"),
        ("--poolName", "p", "--grpcPort=1"),
        ("-poolName=p", "-grpcPort=1"),
        ("--pool-name", "p", "--grpc-port", "1"),
        ("-pool-name=p", "-grpc-port", "1"),
    ],
)
def test_names_have_one_dash_or_two_and_are_written_either_way(args: tuple[str, ...]) -> None:
    options = parse(*args)
    assert (options.pool_name, options.grpc_port) == ("p", 1)


def test_every_flag_of_the_guides_release_is_known() -> None:
    options = parse(
        *("-grpcPort", "1", "-grpcHealthPort", "2", "-metricsPort", "3"),
        *("-destinationEndpointHintKey", "x-gateway-destination-endpoint"),
        *("-DestinationEndpointHintMetadataNamespace", "envoy.lb"),
        *("-poolName", "p", "-poolNamespace", "n", "-refreshMetricsInterval", "20ms"),
        *("-refreshPrometheusMetricsInterval", "5s", "-v", "3", "-secureServing=false", "-certPath", ""),
        *("--zap-encoder", "json", "--zap-devel=false", "--zap-log-level", "debug", "--zap-stacktrace-level", "error"),
    )
    assert (options.grpc_port, options.health_port, options.metrics_port) == (1, 2, 3)
    assert (options.pool_name, options.pool_namespace) == ("p", "n")
    assert options.scrape_interval == 0.02
    assert options.verbosity == 4
    assert not options.secure_serving
    assert [note.split()[0] for note in options.notes] == [
        "--refresh-prometheus-metrics-interval",
        "--zap-stacktrace-level",
    ]


def test_every_flag_of_later_releases_is_known_or_refused_for_a_reason() -> None:
    options = parse(
        *("--pool-name", "p", "--pool-namespace", "n", "--pool-group", "inference.networking.k8s.io"),
        *("--ha-enable-leader-election", "--metrics-endpoint-auth=false", "--disable-endpoint-subset-filter=false"),
        *("--model-server-metrics-scheme=http", "--model-server-metrics-path", "/m", "--model-server-metrics-port=0"),
        *("--model-server-metrics-https-insecure-skip-verify=true", "--refresh-metrics-interval", "50ms"),
        *("--metrics-staleness-threshold", "2s", "--drain-timeout", "1m", "--tracing=false", "--health-checking"),
        *("--enable-pprof", "--enable-cert-reload=true", "--tls-min-version", "VersionTLS12"),
        *("--grpc-max-recv-msg-size", "4194304", "--emit-endpoint-scores", "--allow-experimental-plugins"),
    )
    assert options.leader_election
    assert options.metrics_endpoint_auth is False
    assert options.pool_group == "inference.networking.k8s.io"
    assert options.scrape_path == "/m"
    assert options.drain_seconds == 60.0
    assert len(options.notes) == 9


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            ("--endpoint-selector", "app=x"),
            "--endpoint-selector: pickers without an InferencePool are not built: create one with this selector as its",
        ),
        (("--model-server-metrics-scheme", "https"), "is not done here: write http or remove it"),
        (("-destinationEndpointHintKey", "x"), "write x-gateway-destination-endpoint or remove it"),
        (("--disable-endpoint-subset-filter",), "--disable-endpoint-subset-filter: is not done here: remove it"),
        (("--tls-min-version", "VersionTLS13"), "write VersionTLS12 or remove it"),
        (("--tracing=perhaps",), "--tracing: 'perhaps' is neither true nor false"),
        (("--metrics-staleness-threshold",), "--metrics-staleness-threshold: needs a value"),
        (("--refresh-metrics-interval", "soon"), "'soon' is no time: write seconds such as 0.05, or 50ms or 1m30s"),
        (("--refresh-metrics-interval", "1us"), "under a millisecond"),
        (("-poolNames", "p"), "No such option"),
        (("--zap-log-level", "loud"), "--zap-log-level: 'loud' is no level: write debug, info, error or a number"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_way_out(args: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(app, ["epp", *args], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("written", "read"),
    [("-v=4", ["-v", "4"]), ("-v=", ["-v", ""]), ("-s=true", ["-s"]), ("-s=false", []), ("-v4", ["-v4"])],
)
def test_a_flag_of_one_letter_may_have_its_value_after_an_equals_sign(written: str, read: list[str]) -> None:
    assert translate([written], {**FLAGS, "-s": False}).args == read


def test_verbosity_as_go_writes_it_reaches_the_picker() -> None:
    assert parse("-v=4").verbosity == 4
    assert parse("--v=4").verbosity == 4
    assert parse("--v", "4").verbosity == 4


def test_a_value_is_never_taken_for_a_flag() -> None:
    assert translate(["--pool-name", "-grpcPort", "-v", "--tracing"], FLAGS).args == [
        *("--pool-name", "-grpcPort", "-v", "--tracing")
    ]


def test_after_two_dashes_nothing_is_a_flag() -> None:
    assert translate(["--", "-poolName", "--tracing"], FLAGS).args == ["--", "-poolName", "--tracing"]


@given(st.lists(st.sampled_from(["--pool-name=x", "--secure-serving", "-v", "2", "word", "-x", ""]), max_size=8))
def test_a_command_line_in_our_own_flags_stays_as_it_is(args: list[str]) -> None:
    translated = translate(args, FLAGS)
    assert translated.args == args
    assert translated.notes == []


def test_nothing_that_is_accepted_without_effect_is_a_flag_of_ours() -> None:
    ours = CliRunner().invoke(app, ["epp", "--help"], env={"COLUMNS": "200"}).output
    assert not [name for name in (*UNUSED, *UNUSED_SWITCHES) if f"--{name} " in ours]


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.05", 0.05), ("50ms", 0.05), ("1m30s", 90.0), ("1h", 3600.0), ("1.5s", 1.5), ("200us", 0.0002), ("0", 0.0)],
)
def test_times_are_seconds_or_gos(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "ms", "5 s", "-1", "-5s", "1m30", "inf", "nan", "1d"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no time"):
        seconds(text)


def test_metric_names_are_those_of_the_command_line_for_pods_that_name_no_other_engine() -> None:
    named = engines(
        parse("-totalQueuedRequestsMetric", "q{a=b}", "-kvCacheUsagePercentageMetric", "kv", "-loraInfoMetric", "")
    )
    assert [str(spec) for spec in named["vllm"].waiting] == ['q{a="b"}']
    assert [str(spec) for spec in named["vllm"].kv_usage] == ["kv"]
    assert named["vllm"].lora_info == ()
    assert [str(spec) for spec in named["sglang"].waiting] == ["sglang:num_queue_reqs"]


def test_a_metric_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ValueError, match=r"totalQueuedRequestsMetric 'q\{': "):
        engines(parse("--total-queued-requests-metric", "q{"))
