"""Many replays at once, in processes of their own."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from typing import Any

from signalbox.lab.outcome import Outcome
from signalbox.lab.replay import replay
from signalbox.lab.scrapes import Scraping
from signalbox.lab.servers import Server
from signalbox.lab.stage import Contender
from signalbox.lab.workload import Workload

_LOOK_SECONDS = 0.1

Progress = Callable[[int, int], None]
"""Told which job has come how far, in requests."""


class ProcessLost(Exception):
    """A process was killed in the middle of its replay, most likely for want of memory."""


@dataclass(frozen=True, slots=True)
class Job:
    """One replay to do."""

    workload: Workload
    servers: tuple[Server, ...]
    contender: Contender
    scraping: Scraping = field(default_factory=Scraping)
    seed: int = 0
    speed: float = 1.0
    """Arrivals come so many times as fast as in the workload."""

    def run(self, progress: Callable[[int], None] | None = None) -> Outcome:
        """Do it in this process."""
        workload = self.workload if self.speed == 1.0 else self.workload.faster(self.speed)
        return replay(workload, self.servers, self.contender, scraping=self.scraping, seed=self.seed, progress=progress)


def run_all(jobs: Sequence[Job], workers: int, progress: Progress | None = None) -> Iterator[tuple[int, Outcome]]:
    """Do all jobs, ``workers`` at a time; yield each one's number and outcome as it is done. One worker is this
    process.

    Raises whatever a replay raises, and `ProcessLost` where a process is killed. Close the iterator to stop: jobs that
    have begun are ended.
    """
    if workers <= 1 or len(jobs) <= 1:
        for number, job in enumerate(jobs):
            yield number, job.run(_counted(progress, number))
        return
    # A forked worker has the jobs already; a spawned one is sent them, which takes contenders that can be pickled.
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if "fork" in methods else "spawn")
    reports: Queue[Any] = context.Queue()
    with ProcessPoolExecutor(min(workers, len(jobs)), context, _begin, (reports, jobs)) as pool:
        running: dict[Future[Outcome], int] = {pool.submit(_do, number): number for number in range(len(jobs))}
        try:
            while running:
                done, _ = wait(running, _LOOK_SECONDS, FIRST_COMPLETED)
                while not reports.empty():
                    number, count = reports.get()
                    if progress is not None:
                        progress(number, count)
                # Of those that are told together the ones that came to an end are first: what they found is kept.
                for future in sorted(done, key=lambda one: one.exception() is not None):
                    yield running.pop(future), _result(future)
        finally:
            if running:
                for process in list((pool._processes or {}).values()):
                    process.terminate()  # there is no other way to end a replay in its middle
                pool.shutdown(wait=False, cancel_futures=True)


def _result(future: Future[Outcome]) -> Outcome:
    try:
        return future.result()
    except BrokenProcessPool:
        raise ProcessLost(
            "one of its processes was killed, as happens where memory runs out; fewer --workers need less"
        ) from None


def _counted(progress: Progress | None, number: int) -> Callable[[int], None] | None:
    return None if progress is None else lambda count: progress(number, count)


_mine: tuple[Any, Sequence[Job]] | None = None
"""In a worker process: where to report, and all jobs."""


def _begin(reports: Any, jobs: Sequence[Job]) -> None:
    global _mine  # noqa: PLW0603  a worker process gets both once, at its start
    _mine = (reports, jobs)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides what it means


def _do(number: int) -> Outcome:
    assert _mine is not None
    reports, jobs = _mine
    return jobs[number].run(lambda count: reports.put((number, count)))
