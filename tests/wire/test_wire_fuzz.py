"""A short run of `make fuzz`, and the machinery that keeps and replays what it finds."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz import runner
from fuzz.runner import TARGETS, Failure, Target, fuzz, replay, save

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
        replay(path)


def test_other_files_are_not_replayed(tmp_path: Path) -> None:
    path = tmp_path / "other.txt"
    path.write_text("something else\n00\n")
    with pytest.raises(ValueError, match=f"names no target; use one of {', '.join(TARGETS)}"):
        replay(path)
