"""A short run of `make fuzz`, and the machinery that keeps and replays what it finds."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz import runner
from fuzz.__main__ import main
from fuzz.runner import TARGETS, Failure, Target, fuzz, read_episode, run_episode, save

SEED = "a fixed seed"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The services fail when told to; that is logged, as it should be."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_20_000_frames_are_survived_and_reach_every_kind_of_end() -> None:
    seen: Counter[str] = Counter()
    outcome = fuzz("transport", SEED, 20_000, seen)
    assert outcome.steps >= 20_000
    connection = ("survived", "PROTOCOL_ERROR", "FRAME_SIZE_ERROR", "FLOW_CONTROL_ERROR", "COMPRESSION_ERROR")
    stream = ("NO_ERROR", "PROTOCOL_ERROR", "STREAM_CLOSED", "FLOW_CONTROL_ERROR")
    wanted = {
        *(f"connection {what}" for what in (*connection, "STREAM_CLOSED", "ENHANCE_YOUR_CALM")),
        *(f"stream {what}" for what in stream),
        "finished",
        "cancelled",
    }
    assert not wanted - seen.keys()


@pytest.mark.parametrize(
    "target",
    ["messages", "health", "blocks", "exchange"],
)
def test_what_lies_above_and_below_it(target: str) -> None:
    seen: Counter[str] = Counter()
    assert fuzz(target, SEED, 1000, seen).steps >= 1000
    assert seen


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_at_all_is_survived(target: str) -> None:
    assert TARGETS[target].run([], Counter()) == 0


def test_a_seed_makes_the_same_traffic_again() -> None:
    runs = []
    for seed in (SEED, SEED, "another"):
        seen: Counter[str] = Counter()
        runs.append((fuzz("transport", seed, 2000, seen), seen))
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_a_failure_is_saved_without_what_it_does_not_need_and_can_be_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(inputs: list[bytes], seen: Counter[str]) -> int:
        assert not (b"b" in inputs and b"d" in inputs)
        return len(inputs)

    monkeypatch.setitem(runner.TARGETS, "health", Target(lambda rng: [b"a", b"b", b"c", b"d"], run))
    with pytest.raises(Failure, match="health: episode 0 of seed x failed") as caught:
        fuzz("health", "x", 10, Counter())
    path = save(caught.value, tmp_path / "new")
    assert path.read_text() == "health\n62\n64\n"
    with pytest.raises(AssertionError):
        run_episode(*read_episode(path))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("something else\n00\n", f"names no target; use one of {', '.join(TARGETS)}"),
        ("", "first line '' names no target"),
        ("health\nzz\n", "each line after the first is one input in hexadecimal"),
        (None, "No such file"),
    ],
)
def test_other_files_are_not_replayed(
    content: str | None,
    problem: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "other.txt"
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr("sys.argv", ["fuzz", "--replay", str(path)])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize("frames", ["-1", "0", "19"])
def test_a_run_that_would_try_nothing_does_not_say_that_it_found_nothing(
    frames: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["fuzz", "--frames", frames])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "use at least 20" in capsys.readouterr().err
