"""Episodes from a seed, targets to run them against, and files to keep a failure in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from fuzz import conversation, parsers, transport


@dataclass(frozen=True)
class Target:
    """What is fuzzed: inputs from a generator, and a run that raises when something is wrong and counts its steps."""

    generate: Callable[[Random], list[bytes]]
    run: Callable[[list[bytes], Counter[str]], int]


TARGETS = {
    "transport": Target(transport.generate, transport.run),
    "messages": Target(parsers.generate_messages, parsers.run_messages),
    "health": Target(parsers.generate_health, parsers.run_health),
    "blocks": Target(parsers.generate_blocks, parsers.run_blocks),
    "exchange": Target(conversation.generate, conversation.run),
}


class Failure(Exception):
    """An episode that went wrong; the cause is what it raised."""

    def __init__(self, target: str, seed: str, episode: int, inputs: list[bytes]) -> None:
        super().__init__(f"{target}: episode {episode} of seed {seed} failed")
        self.target = target
        self.seed = seed
        self.episode = episode
        self.inputs = inputs


@dataclass
class Outcome:
    """What a run of one target came to."""

    steps: int = 0
    """Frames of the transport, inputs of the others."""
    episodes: int = 0


def fuzz(
    name: str, seed: str, steps: int, seen: Counter[str], progress: Callable[[Outcome], None] = lambda outcome: None
) -> Outcome:
    """Run episodes against one target until they add up to ``steps``; raises `Failure` at the first that goes wrong."""
    target = TARGETS[name]
    outcome = Outcome()
    while outcome.steps < steps:
        inputs = target.generate(Random(f"{seed}/{name}/{outcome.episodes}"))
        try:
            outcome.steps += target.run(inputs, seen)
        except Exception as error:
            raise Failure(name, seed, outcome.episodes, inputs) from error
        outcome.episodes += 1
        progress(outcome)
    return outcome


def minimised(failure: Failure) -> list[bytes]:
    """Return the failing inputs without those, one after the other, that the failure does not need."""
    target = TARGETS[failure.target]
    kept = failure.inputs
    for place in reversed(range(len(kept))):
        fewer = kept[:place] + kept[place + 1 :]
        try:
            target.run(fewer, Counter())
        except Exception:
            kept = fewer
    return kept


def save(failure: Failure, folder: Path) -> Path:
    """Write a failing episode to a file: the target, then one input a line in hexadecimal; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{failure.target}-{failure.seed}-{failure.episode}.txt"
    path.write_text("\n".join([failure.target, *(step.hex() for step in minimised(failure))]) + "\n")
    return path


def read_episode(path: Path) -> tuple[str, list[bytes]]:
    """Return the target and the inputs of a saved episode; `OSError`, or `ValueError` for another kind of file."""
    name, *lines = path.read_text().splitlines() or [""]
    if name not in TARGETS:
        raise ValueError(f"{path}: first line {name!r} names no target; use one of {', '.join(TARGETS)}")
    try:
        return name, [bytes.fromhex(line) for line in lines]
    except ValueError as error:
        raise ValueError(f"{path}: each line after the first is one input in hexadecimal: {error}") from None


def run_episode(name: str, inputs: list[bytes]) -> int:
    """Give target ``name`` these inputs and return its steps; raises what it raises."""
    return TARGETS[name].run(inputs, Counter())
