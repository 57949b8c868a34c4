"""``signalbox replay``: from its arguments to its results."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from signalbox.cli.printed import unwritable
from signalbox.engine import PROFILES
from signalbox.lab import Contender, Scraping, Server, configured, guide, server
from signalbox.lab.parallel import ProcessLost
from signalbox.lab.rehearsal import Plan, Rehearsal, rehearse
from signalbox.lab.report import as_json, as_page, figure_table, figure_title, ladder_table, ladder_title, request_lines
from signalbox.lab.slo import Slo
from signalbox.lab.traces import InvalidTrace, read_trace
from signalbox.lab.workload import Workload
from signalbox.scheduling import InvalidPolicy, load_policy

_PATIENCE = 1.0  # seconds until progress is shown
_LORA_SLOTS = 4
_PIPE_WIDTH = 160
_LEAST_SPEED, _MOST_SPEED = 0.001, 1e6


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line says."""

    trace: Path
    configs: tuple[Path, ...]
    policies: tuple[str, ...]
    pool: int
    engines: tuple[str, ...]
    max_loras: int
    speed: float
    limit: int | None
    adapters: int
    sheddable: float
    unstreamed: float
    as_recorded: bool
    block_tokens: int
    slo: str
    ladder: str
    rounds: int
    out: Path | None
    seed: int
    scrape: tuple[float, float, float, float]
    workers: int | None


def run(wishes: Wishes) -> int:
    """Replay and print; returns the exit status: 1 where a process of it was killed, 2 for arguments that cannot work
    or results that cannot be written, 130 after Ctrl-C."""
    try:
        plan = make_plan(wishes)
    except InvalidPolicy as invalid:
        for problem in invalid.problems:
            print(problem, file=sys.stderr)
        return 2
    except (InvalidTrace, ValueError) as error:
        print(f"signalbox replay: {error}", file=sys.stderr)
        return 2
    if wishes.out is not None:
        try:
            wishes.out.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=wishes.out):
                pass  # whether files can be made there shows now and not after the replay
        except OSError as error:
            print(f"signalbox replay: --out {wishes.out}: {error.strerror}", file=sys.stderr)
            return 2
    rehearsal = Rehearsal(plan)
    begun = time.monotonic()
    workers = wishes.workers or os.cpu_count() or 1
    status = 0
    with _Bars() as bars:
        try:
            rehearse(rehearsal, workers, bars.begin)
        except KeyboardInterrupt:
            status = 130
        except ProcessLost as error:
            status = 1
            print(f"signalbox replay: {error}", file=sys.stderr)
        except ValueError as error:  # servers that cannot serve this trace
            print(f"signalbox replay: {error}", file=sys.stderr)
            return 2
    seconds = time.monotonic() - begun
    written = True
    if wishes.out is not None and rehearsal.results:  # before anything is printed: who reads may leave in the middle
        written = _write(rehearsal, wishes.out)
    try:
        _show(rehearsal, wishes.out, seconds, stopped=bool(status), written=written)
        sys.stdout.flush()
    except OSError as error:
        lost = unwritable(error)
        return status or lost
    return status if written else status or 2


def make_plan(wishes: Wishes) -> Plan:
    """Read what the arguments name. Raises `InvalidTrace`, `InvalidPolicy` or ValueError."""
    contenders = _contenders(wishes)
    slo = Slo.parse(wishes.slo)
    ladder = _speeds(wishes.ladder)
    workload = read_trace(wishes.trace, wishes.block_tokens)
    if not wishes.as_recorded:
        workload = workload.spread(wishes.seed, wishes.limit)
    elif wishes.limit is not None:
        workload = workload.first(wishes.limit)
    if wishes.adapters:
        workload = workload.with_adapters(wishes.adapters, seed=wishes.seed)
    if wishes.sheddable:
        workload = workload.with_sheddable(wishes.sheddable, seed=wishes.seed)
    if wishes.unstreamed:
        workload = workload.with_unstreamed(wishes.unstreamed, seed=wishes.seed)
    workload = replace(workload, notes=(*workload.notes, *_not_modelled(wishes)))
    if ladder and not workload.rate:
        raise ValueError("--ladder: the trace has no rate: its requests all come at once")
    return Plan(
        workload if wishes.speed == 1.0 else workload.faster(wishes.speed),
        _servers(wishes, workload),
        contenders,
        Scraping(*wishes.scrape),
        slo,
        wishes.seed,
        wishes.speed,
        ladder,
        wishes.rounds,
    )


def _contenders(wishes: Wishes) -> tuple[Contender, ...]:
    found = []
    for path in wishes.configs:
        try:
            text = path.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is no text in UTF-8"
            raise ValueError(f"--config {path}: {reason}") from None
        found.append(configured(text, str(path)))
    if wishes.policies:
        from signalbox.lab.policies import POLICIES

        for name in wishes.policies:
            if name not in POLICIES:
                raise ValueError(f"--policy {name!r} is unknown; known policies: {', '.join(sorted(POLICIES))}")
            found.append(POLICIES[name])
    if not found:
        found.append(guide())
    names = [one.name for one in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} is given twice")
    return tuple(found)


def _not_modelled(wishes: Wishes) -> list[str]:
    """What these configurations ask for and no replay does."""
    notes = []
    for path in wishes.configs:
        policy = load_policy(path.read_text("utf-8-sig"), name=str(path))
        if len(policy.profiles) > 1:
            notes.append(
                f"{path} has {len(policy.profiles)} scheduling profiles: what stages other than the one that answers"
                " would do, such as prefill, is not modelled; that server does all of the work"
            )
        if policy.precise is not None:
            notes.append(
                f"{path} has a precise prefix index: it is taken to know the servers' caches as they are at every"
                " decision; events that come late or get lost, and speculativeIndexing, are not modelled"
            )
    return notes


def _servers(wishes: Wishes, workload: Workload) -> tuple[Server, ...]:
    profiles = [find_engine(name) for name in wishes.engines]
    slots = wishes.max_loras or (_LORA_SLOTS if workload.adapters else 0)
    # An adapter that has left its slot stays in host memory, as with servers that are given room for all of them.
    rest = {"max_loras": slots, "max_cpu_loras": max(slots, len(workload.adapters))} if slots else {}
    return tuple([server(profiles[number % len(profiles)], **rest) for number in range(wishes.pool)])


def find_engine(name: str) -> str:
    """The profile a name stands for: its own, or some of the words of it in order, if no other has them too.

    Raises:
        ValueError: no profile has these words, or several have.
    """
    if name in PROFILES:
        return name
    wanted = name.lower().split("-")
    found = [profile for profile in PROFILES if _holds(profile.split("-"), wanted)]
    if len(found) != 1:
        what = "is unknown" if not found else f"may be {' or '.join(found)}"
        raise ValueError(f"--engine {name!r} {what}; known engines: {', '.join(PROFILES)}")
    return found[0]


def _holds(words: Sequence[str], wanted: Sequence[str]) -> bool:
    rest = iter(words)
    return all(word in rest for word in wanted)


def _speeds(text: str) -> tuple[float, ...]:
    speeds = []
    for part in text.split(",") if text.strip() else ():
        try:
            speed = float(part)
        except ValueError:
            raise ValueError(f"--ladder: {part.strip()!r} is not a number") from None
        if not _LEAST_SPEED <= speed <= _MOST_SPEED:
            raise ValueError(f"--ladder: {part.strip()} is not a speed from {_LEAST_SPEED:g} to {_MOST_SPEED:g}")
        speeds.append(speed)
    return tuple(sorted(set(speeds)))


def _show(rehearsal: Rehearsal, out: Path | None, seconds: float, *, stopped: bool, written: bool) -> None:
    # Names of files and of policies are shown as they are, whatever brackets and colons they hold.
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, markup=False, emoji=False)
    for note in rehearsal.plan.workload.notes:
        console.print(f"note: {note}", highlight=False)
    if rehearsal.results:
        console.print(figure_title(rehearsal), highlight=False, soft_wrap=True)
        console.print(figure_table(rehearsal))
    if any(ladder.rungs for ladder in rehearsal.ladders):
        console.print(ladder_title(rehearsal), highlight=False, soft_wrap=True)
        console.print(ladder_table(rehearsal))
    if stopped:
        done = f"{len(rehearsal.results)} of {len(rehearsal.plan.contenders)} policies are done"
        rest = ", the ladder is not" if rehearsal.plan.ladder else ""
        nothing = "; nothing is written" if out is not None and not rehearsal.results else ""
        console.print(f"stopped; {done}{rest}{nothing}", highlight=False)
    if out is not None and rehearsal.results and written:
        console.print(f"wrote replay.json, requests.csv and report.html to {out}", highlight=False)
    console.print(f"took {seconds:.1f} s", highlight=False)


def _write(rehearsal: Rehearsal, out: Path) -> bool:
    files = {
        "replay.json": as_json(rehearsal),
        "requests.csv": request_lines(rehearsal).encode(),
        "report.html": as_page(rehearsal).encode(),
    }
    for name, content in files.items():
        try:
            (out / name).write_bytes(content)
        except OSError as error:  # a disk that is full does not say which file it was
            print(f"signalbox replay: --out {out / name}: {error.strerror}", file=sys.stderr)
            return False
    return True


class _Bars:
    """Progress bars on standard error, for replays that take longer than one waits gladly."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress: Progress | None = None
        self._since = time.monotonic()

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def begin(self, replays: Sequence[tuple[str, int]]) -> Callable[[int, int], None]:
        """Show these replays from now on."""
        if self._progress is not None:
            self._progress.stop()
        progress = self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        tasks: list[TaskID] = [progress.add_task(name, total=count) for name, count in replays]
        shown = False

        def told(replay: int, count: int) -> None:
            nonlocal shown
            if not shown and time.monotonic() - self._since > _PATIENCE:
                progress.start()
                shown = True
            progress.update(tasks[replay], completed=count)

        return told
