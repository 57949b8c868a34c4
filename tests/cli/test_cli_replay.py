"""``signalbox replay`` from the command line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from signalbox.cli.main import app
from signalbox.cli.replaying import find_engine

TRACE = "".join(
    json.dumps({"timestamp": 500 * n, "input_length": 700, "output_length": 20, "hash_ids": [n % 4, 100 + n]}) + "\n"
    for n in range(60)
)
CONFIG = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: queue-scorer}]
schedulingProfiles: [{name: default, plugins: [{pluginRef: queue-scorer, weight: 2}]}]
"""


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.jsonl"
    path.write_text(TRACE)
    return path


def replay(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["replay", *map(str, arguments), "--workers", "1"])


def test_policies_are_shown_side_by_side(trace: Path, tmp_path: Path) -> None:
    config = tmp_path / "epp.yaml"
    config.write_text(CONFIG)
    result = replay(trace, "--config", config, "--policy", "round-robin", "--pool", 2)
    assert result.exit_code == 0, result.output
    assert "60 requests at 2 a second on 2 x llama-3.1-8b-h100; SLO: TTFT 2 s, TPOT 50 ms" in result.output
    for word in ("epp.yaml", "round-robin", "TTFT s p90", "prefix hits %", "refused"):
        assert word in result.output


def test_without_a_policy_the_default_one_is_replayed(trace: Path) -> None:
    result = replay(trace, "--pool", 2, "--limit", 10)
    assert result.exit_code == 0
    assert "10 requests" in result.output
    assert "guide" in result.output


def test_files_are_written_where_asked_and_are_the_same_every_time(trace: Path, tmp_path: Path) -> None:
    outs = [tmp_path / "one", tmp_path / "deep" / "two"]
    for out in outs:
        assert replay(trace, "--pool", 2, "--policy", "random", "--seed", 5, "--out", out).exit_code == 0
    for name in ("replay.json", "requests.csv", "report.html"):
        assert (outs[0] / name).read_bytes() == (outs[1] / name).read_bytes()
    document = json.loads((outs[0] / "replay.json").read_text())
    assert document["policies"][0]["name"] == "random"
    assert document["seed"] == 5


def test_the_ladder_finds_where_a_policy_breaks(trace: Path) -> None:
    result = replay(trace, "--pool", 1, "--ladder", "1,1000", "--rounds", 1, "--slo", "ttft=0.5")
    assert result.exit_code == 0
    assert "highest rate with TTFT p90 <= 0.5 s and TPOT p90 <= 50 ms" in result.output
    assert "1e+03x" in result.output or "500x" in result.output


def test_adapters_shedding_and_several_engines(trace: Path) -> None:
    result = replay(
        *(trace, "--pool", 3, "--engine", "llama-8b-h100", "--engine", "llama-8b-a100"),
        *("--adapters", 6, "--sheddable", 0.5, "--speed", 2, "--scrape-loss", 0.2, "--scrape-jitter", 0.01),
    )
    assert result.exit_code == 0, result.output
    assert "2 x llama-3.1-8b-h100, 1 x llama-3.1-8b-a100" in result.output
    assert "at 4 a second" in result.output


def test_notes_of_a_trace_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "azure.csv"
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,374,44\n2023-11-16 18:15:48,3,4\n")
    result = replay(path)
    assert result.exit_code == 0
    assert "note: the trace does not say which prompts share a beginning" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--policy", "nobody"], "--policy 'nobody' is unknown; known policies:"),
        (["--policy", "random", "--policy", "random"], "random is given twice"),
        (["--engine", "gpt"], "--engine 'gpt' is unknown; known engines: llama-3.1-8b-a100,"),
        (["--engine", "llama"], "--engine 'llama' may be llama-3.1-8b-a100 or"),
        (["--slo", "fast"], "slo 'fast': write it as ttft=2,tpot=0.05"),
        (["--ladder", "1,x"], "--ladder: 'x' is not a number"),
        (["--ladder", "-1"], "--ladder: -1 is not a speed from 0.001 to 1e+06"),
        (["--ladder", "1e-300"], "--ladder: 1e-300 is not a speed from 0.001 to 1e+06"),
        (["--ladder", "1e300"], "--ladder: 1e300 is not a speed from 0.001 to 1e+06"),
        (["--slo", "ttft=inf"], "slo ttft: inf s is not positive and finite"),
        (["--slo", "ttft=1,ttft=2"], "slo ttft is given twice"),
        (["--scrape-interval", "inf"], "--scrape-interval: inf s is not positive and finite"),
        (["--out", "/proc/self"], "--out /proc/self: "),
        (["--limit", "1", "--ladder", "1"], "--ladder: the trace has no rate"),
        (["--config", "missing.yaml"], "--config missing.yaml: No such file or directory"),
        (
            ["--block-tokens", "100"],
            "block_size: 16 tokens do not divide the trace's blocks of 100; --block-tokens must be",
        ),
        (["--out", "/dev/null/here"], "--out /dev/null/here: Not a directory"),
        (["--max-loras", "1024"], "max_loras: 1024 slots for adapters leave llama-3.1-8b-h100 no memory for a KV"),
    ],
)
def test_what_cannot_work_is_one_line_and_status_2(trace: Path, arguments: list[str], said: str) -> None:
    result = replay(trace, *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.startswith("signalbox replay: ")
    assert result.stderr.count("\n") == 1


def test_a_bad_configuration_is_reported_as_by_validate(trace: Path, tmp_path: Path) -> None:
    config = tmp_path / "epp.yaml"
    config.write_text(CONFIG.replace("queue-scorer}", "queue-scorerr}", 1))
    result = replay(trace, "--config", config)
    checked = CliRunner().invoke(app, ["validate", str(config)])
    assert result.exit_code == 2
    said = [line.replace(" document 1", "") for line in checked.output.splitlines() if not line.startswith("checked")]
    assert result.stderr.splitlines() == said


def test_a_bad_trace_names_line_and_field(trace: Path) -> None:
    trace.write_text(TRACE + '{"timestamp": 1, "input_length": "many", "output_length": 1}\n')
    result = replay(trace)
    assert result.exit_code == 2
    assert f"{trace}:61: input_length: Expected `int`, got `str`" in result.stderr


def test_help_teaches() -> None:
    result = CliRunner().invoke(app, ["replay", "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    for word in ("--config now.yaml --config next.yaml", "--ladder 0.5,1,2,4", "--scrape-loss", "Ctrl-C"):
        assert word in result.output


@pytest.mark.parametrize("name", ["llama-8b-h100", "llama-3.1-8b-h100", "8b-h100"])
def test_engines_go_by_some_of_the_words_of_their_names(name: str) -> None:
    assert find_engine(name) == "llama-3.1-8b-h100"


def test_ctrl_c_prints_what_is_done(tmp_path: Path) -> None:
    """The second policy has far more to do than anybody waits for; the first is done by then."""
    long = tmp_path / "long.jsonl"
    with long.open("w") as file:
        for n in range(150_000):
            file.write(f'{{"timestamp": {n * 10}, "input_length": 500, "output_length": 300, "hash_ids": [{n}]}}\n')
    code = (
        "import sys, signalbox.cli.main as m, signalbox.lab.parallel as p, signalbox.lab.rehearsal as r\n"
        "one = p.replay\n"
        "begun = []\n"
        "def replay(*a, **k):\n"
        "    begun.append(a)\n"
        "    if len(begun) == 2:\n"
        "        print('SECOND BEGUN', file=sys.stderr, flush=True)\n"
        "    return one(*a, **k)\n"
        "p.replay = replay\n"
        "from dataclasses import replace\n"
        "run = r._run\n"
        "def shorter(jobs, names, workers, begun):\n"
        "    return run([replace(jobs[0], workload=jobs[0].workload.first(50)), *jobs[1:]], names, workers, begun)\n"
        "r._run = shorter\n"
        "sys.argv[0] = 'signalbox'\n"
        "m.main()\n"
    )
    command = [sys.executable, "-c", code, "replay", str(long), "--policy", "random", "--policy", "round-robin"]
    process = subprocess.Popen(
        [*command, "--workers", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr is not None
    while "SECOND BEGUN" not in (line := process.stderr.readline()):
        assert line, "the replay ended before it could be stopped"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped; 1 of 2 policies are done" in out
    assert "TTFT s p90" in out
    assert "Traceback" not in err


def test_what_is_done_is_shown_even_where_it_cannot_be_written(trace: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "replay.json").mkdir(parents=True)
    result = replay(trace, "--pool", 1, "--out", out)
    assert result.exit_code == 2
    assert "TTFT s p90" in result.stdout
    assert f"signalbox replay: --out {out}/replay.json: Is a directory" in result.stderr


def _process(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "signalbox", "replay", *map(str, arguments), "--workers", "1"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_cannot_be_written_is_one_line_and_the_files_are_there(trace: Path, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            _process(trace, "--pool", 1, "--out", tmp_path), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (ended.returncode, ended.stderr) == (2, "signalbox: the output cannot be written: No space left on device\n")
    assert json.loads((tmp_path / "replay.json").read_text())["whole"]
    assert (tmp_path / "report.html").read_text().endswith("</html>\n")


def test_a_reader_that_leaves_ends_it_quietly_and_the_files_are_there(trace: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        _process(trace, "--pool", 1, "--out", tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr as errors:
        assert errors.read() == ""
    assert process.wait() == 1
    assert (tmp_path / "report.html").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("name", ["replay.json", "requests.csv", "report.html"])
def test_a_file_on_a_full_disk_is_named(trace: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("/dev/full")
    result = replay(trace, "--pool", 1, "--out", tmp_path)
    assert result.exit_code == 2
    assert "TTFT s p90" in result.stdout
    assert result.stderr == f"signalbox replay: --out {tmp_path / name}: No space left on device\n"


def test_requests_that_share_a_moment_are_counted_of_what_is_replayed(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    lines = [f'{{"timestamp": {3000 * (n // 4)}, "input_length": 9, "output_length": 2}}\n' for n in range(40)]
    path.write_text("".join(lines))
    assert "note: 10 requests share a moment" in replay(path, "--pool", 1, "--limit", 10).stdout


def test_requests_of_one_moment_are_spread_unless_they_are_wanted_as_recorded(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    lines = [f'{{"timestamp": {3000 * (n // 4)}, "input_length": 9, "output_length": 2}}\n' for n in range(40)]
    path.write_text("".join(lines))
    arrivals = {}
    for option in ((), ("--as-recorded",)):
        result = replay(path, "--pool", 1, "--out", tmp_path, *option)
        assert result.exit_code == 0, result.output
        assert ("40 requests share a moment" in result.stdout) == (not option)
        rows = (tmp_path / "requests.csv").read_text().splitlines()[1:]
        arrivals[option] = {row.split(",")[2] for row in rows}
    assert (len(arrivals[()]), len(arrivals["--as-recorded",])) == (40, 10)


def test_answers_in_one_piece(trace: Path) -> None:
    assert replay(trace, "--pool", 1, "--unstreamed", 0.5).exit_code == 0
    assert replay(trace, "--unstreamed", 1.5).exit_code == 2


def test_stages_that_are_not_modelled_are_noted(trace: Path, tmp_path: Path) -> None:
    config = tmp_path / "split.yaml"
    profile = "{name: %s, plugins: [{pluginRef: queue-scorer, weight: 2}]}"
    config.write_text(
        "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
        "plugins: [{type: queue-scorer}, {type: disagg-profile-handler}]\n"
        f"schedulingProfiles: [{profile % 'prefill'}, {profile % 'decode'}]\n"
    )
    result = replay(trace, "--pool", 2, "--limit", 5, "--config", config)
    assert result.exit_code == 0, result.output
    assert "has 2 scheduling profiles" in result.output


def test_a_precise_prefix_index_is_noted(trace: Path, tmp_path: Path) -> None:
    config = tmp_path / "precise.yaml"
    config.write_text(CONFIG.replace("queue-scorer", "precise-prefix-cache-scorer"))
    result = replay(trace, "--pool", 2, "--limit", 5, "--config", config)
    assert result.exit_code == 0, result.output
    assert "has a precise prefix index" in " ".join(result.output.split())


@pytest.mark.parametrize("beside", [(), ("random", "round-robin", "least-request", "default")])
@pytest.mark.parametrize("name", ["[bold]it.yaml", "[/it.yaml]", "it:smile:.yaml"])
def test_names_are_shown_as_they_are(
    trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, beside: tuple[str, ...]
) -> None:
    """Brackets and colons in them are no markup."""
    monkeypatch.chdir(tmp_path)
    config, odd = Path(name), trace.rename("[b]trace.jsonl")
    config.parent.mkdir(exist_ok=True)
    config.write_text(CONFIG)
    others = [word for policy in beside for word in ("--policy", policy)]
    result = replay(odd, "--pool", 1, "--config", config, *others, "--ladder", 1, "--rounds", 0, "--out", "[/out]")
    assert result.exit_code == 0, result.output
    assert "[b]trace: 60 requests" in result.output
    assert result.output.count(f" {config} ") == 2
    assert "to [/out]" in result.output


def test_what_is_done_is_kept_where_a_process_is_killed(trace: Path, tmp_path: Path) -> None:
    """As happens where memory runs out. The process is killed after the other policy's figures are there."""
    done, out = tmp_path / "done", tmp_path / "out"
    code = (
        "import os, signal, sys, time\n"
        "import signalbox.cli.main as m, signalbox.lab.parallel as p, signalbox.lab.rehearsal as r\n"
        "one, figures = p.replay, r.figures\n"
        "def replay(workload, servers, contender, **k):\n"
        "    if contender.name == 'random':\n"
        f"        while not os.path.exists({str(done)!r}): time.sleep(0.01)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return one(workload, servers, contender, **k)\n"
        "def summed(*a, **k):\n"
        f"    open({str(done)!r}, 'w').close()\n"
        "    return figures(*a, **k)\n"
        "p.replay, r.figures = replay, summed\n"
        "sys.argv[0] = 'signalbox'\n"
        "m.main()\n"
    )
    options = ["--policy", "random", "--policy", "round-robin", "--workers", "2", "--out", str(out)]
    command = [sys.executable, "-c", code, "replay", str(trace), *options]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert result.stderr.startswith("signalbox replay: one of its processes was killed")
    assert result.stderr.count("\n") == 1
    assert "stopped; 1 of 2 policies are done" in result.stdout
    document = json.loads((out / "replay.json").read_text())
    assert [policy["name"] for policy in document["policies"]] == ["round-robin"]
    assert document["whole"] is False


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "stopped; 0 of 1 policies are done\n"),
        (("--out", "out"), "stopped; 0 of 1 policies are done; nothing is written\n"),
        (("--ladder", "1,2"), "stopped; 0 of 1 policies are done, the ladder is not\n"),
    ],
)
def test_stopping_says_what_is_missing(
    trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], said: str
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signalbox.cli.replaying.rehearse", stopped)
    result = replay(trace, *options)
    assert result.exit_code == 130
    assert said in result.stdout
    assert not list(tmp_path.glob("out/*"))
