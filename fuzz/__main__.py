"""``python -m fuzz``: run every target for a while, or replay a failure."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import secrets
import subprocess
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

from fuzz import guided
from fuzz.runner import TARGETS, Failure, Outcome, fuzz, read_episode, run_episode, save

_SHARE = {"transport": 1.0, "messages": 0.1, "health": 0.1, "blocks": 0.1, "exchange": 0.05}
"""Steps of each target for one frame of the transport."""
_FEWEST = 20
"""Frames with which each target has a step at least."""


def main() -> int:
    """Return 0 when nothing was found, 1 when something was."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Hostile traffic against the transport.")
    parser.add_argument("--frames", type=int, default=1_000_000, help="frames for the transport (1,000,000)")
    parser.add_argument("--seed", default="", help="the same seed makes the same traffic; random by default")
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"), help="where a failure is saved (build/fuzz)")
    parser.add_argument(
        "--engine",
        choices=("seeded", "atheris"),
        default="seeded",
        help="seeded clients that know the protocol, or atheris, which looks for code not reached so far (seeded)",
    )
    parser.add_argument("--replay", type=Path, help="run a saved failure again")
    options = parser.parse_args()
    if options.frames < _FEWEST:
        parser.error(f"--frames {options.frames}: use at least {_FEWEST}, so that every target runs")
    logging.disable(logging.CRITICAL)  # the services are told to fail, and each failure is logged
    if options.replay:
        try:
            episode = read_episode(options.replay)
        except (OSError, ValueError) as error:
            parser.error(f"--replay: {error}")
        print(f"{options.replay}: {run_episode(*episode):,} steps, no failure")
        return 0
    if options.engine == "atheris":
        return guided_runs(options.frames, options.folder)
    seed = options.seed or secrets.token_hex(4)
    print(f"seed {seed}: repeat with `make fuzz SEED={seed} FRAMES={options.frames}`", flush=True)
    seen: Counter[str] = Counter()
    started = time.monotonic()
    done = []
    for name in TARGETS:
        try:
            outcome = fuzz(name, seed, int(options.frames * _SHARE[name]), seen, _Progress(name))
        except Failure as failure:
            path = save(failure, options.folder)
            traceback.print_exception(failure.__cause__)
            print(f"fuzz: FAILED, {failure}; saved, repeat with `python -m fuzz --replay {path}`", flush=True)
            return 1
        done.append(f"{outcome.steps:,} {'frames' if name == 'transport' else name}")
    for what, count in sorted(seen.items()):
        print(f"  {count:>9,} {what}")
    print(f"fuzz: seed {seed}, {', '.join(done)}, {time.monotonic() - started:.0f} s, no failure")
    return 0


def guided_runs(frames: int, folder: Path) -> int:
    """Run each target under atheris, which ends the process it is in; return what `main` does, 2 without atheris."""
    if importlib.util.find_spec("atheris") is None:
        print(f"fuzz: {guided.MISSING}")
        return 2
    for name in TARGETS:
        # An episode of atheris is some dozens of frames.
        runs = max(1_000, int(frames * _SHARE[name]) // 100)
        print(f"  {name}: {runs:,} episodes", flush=True)
        ran = subprocess.run([sys.executable, "-m", "fuzz.guided", name, str(runs), str(folder)], check=False)
        if ran.returncode != 0:
            print(f"fuzz: FAILED, {name} under atheris ended with {ran.returncode}", flush=True)
            return 1
    print("fuzz: atheris found nothing")
    return 0


class _Progress:
    """Says every five seconds how far a target is."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._next = time.monotonic() + 5

    def __call__(self, outcome: Outcome) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 5
            print(f"  {self._name}: {outcome.steps:,} steps in {outcome.episodes:,} episodes", flush=True)


if __name__ == "__main__":
    sys.exit(main())
