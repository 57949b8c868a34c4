"""Processes are started, watched, restarted and stopped, and none is left behind."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from signalbox.gateway.supervisor import Backoff, Command, Exited, Supervised, last_lines, run_to_end, size

PATIENCE = 20.0


def command(code: str, **environment: str) -> Command:
    return Command("tiny", (sys.executable, "-I", "-S", "-c", code), environment)


class Watched:
    """A supervised process whose events can be awaited."""

    def __init__(self, code: str, log: Path, **environment: str) -> None:
        self.starts: asyncio.Queue[None] = asyncio.Queue()
        self.exits: asyncio.Queue[Exited] = asyncio.Queue()
        self.process = Supervised(
            command(code, **environment),
            log,
            on_start=lambda: self.starts.put_nowait(None),
            on_exit=self.exits.put_nowait,
            backoff=Backoff(first=0.01, longest=0.02),
        )

    async def begun(self) -> None:
        """Return when it was started; it may have ended since."""
        await asyncio.wait_for(self.starts.get(), PATIENCE)

    async def started(self) -> int:
        await self.begun()
        assert self.process.pid is not None
        return self.process.pid

    async def exited(self) -> Exited:
        return await asyncio.wait_for(self.exits.get(), PATIENCE)


def gone(pid: int) -> bool:
    """Whether a process is gone, or dead and waiting for somebody to notice."""
    try:
        os.kill(pid, 0)
        return Path("/proc").is_dir() and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (ProcessLookupError, FileNotFoundError):
        return True


async def ended(pid: int) -> None:
    """Return when a process that is not our child has gone; the kernel tells nobody but its parent."""
    async with asyncio.timeout(PATIENCE):
        while not gone(pid):  # noqa: ASYNC110
            await asyncio.sleep(0)


async def says(fifo: Path) -> str:
    """What a process writes into a pipe: how tests learn that it has come that far."""
    return await asyncio.wait_for(asyncio.to_thread(fifo.read_text), PATIENCE)


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


async def test_a_process_that_ends_is_started_again_and_its_last_words_are_told(tmp_path: Path) -> None:
    watched = Watched("print('one\\n\\ntwo'); raise SystemExit(3)", tmp_path / "logs" / "tiny.log")
    watched.process.start()
    await watched.begun()
    exited = await watched.exited()
    assert (exited.name, exited.status, exited.reason) == ("tiny", 3, "exit status 3")
    assert exited.tail == ("one", "two")
    await watched.begun()
    await watched.process.stop()
    assert watched.process.restarts >= 1
    assert watched.process.pid is None


@pytest.mark.parametrize(
    ("code", "reason", "tail"),
    [
        ("raise SystemExit(1)", "exit status 1", ()),
        ("print('own'); raise SystemExit(1)", "exit status 1", ("own",)),
        ("import os; print('own', flush=True); os.kill(os.getpid(), 15)", "signal SIGTERM", ("own",)),
        ("import os; print('all is well', flush=True); os.kill(os.getpid(), 9)", "signal SIGKILL", ()),
    ],
)
async def test_a_run_is_told_by_its_own_last_words(
    tmp_path: Path, code: str, reason: str, tail: tuple[str, ...]
) -> None:
    log = tmp_path / "log"
    log.write_text("words of an earlier run\n")
    watched = Watched(code, log)
    watched.process.start()
    exited = await watched.exited()
    assert (exited.reason, exited.tail, exited.repeated) == (reason, tail, False)
    assert (await watched.exited()).repeated, "the same end again"
    await watched.process.stop()


async def test_a_program_that_refuses_its_arguments_is_not_asked_again_soon(tmp_path: Path) -> None:
    watched = Watched("raise SystemExit(2)", tmp_path / "log")
    watched.process.start()
    exited = await watched.exited()
    assert exited.hopeless
    assert exited.restart_in == Backoff().hopeless
    await watched.process.stop()


async def test_a_stopped_process_is_asked_first_and_not_started_again(tmp_path: Path, fifo: Path) -> None:
    code = f"""
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: (print('bye'), sys.exit(0)))
open({str(fifo)!r}, 'w').write('up')
while True: signal.pause()
"""
    watched = Watched(code, tmp_path / "log")
    watched.process.start()
    pid = await watched.started()
    assert await says(fifo) == "up"
    await watched.process.stop(grace=PATIENCE)
    assert last_lines(tmp_path / "log") == ("bye",)
    assert watched.exits.empty()
    assert gone(pid)


async def test_a_process_that_does_not_listen_is_killed_with_all_it_started(tmp_path: Path, fifo: Path) -> None:
    code = f"""
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = os.fork()
if child: open({str(fifo)!r}, 'w').write(str(child))
while True: signal.pause()
"""
    watched = Watched(code, tmp_path / "log")
    watched.process.start()
    pid = await watched.started()
    child = int(await says(fifo))
    await watched.process.stop(grace=0.05)
    assert gone(pid)
    await ended(child)


async def test_one_that_is_hurried_is_asked_twice(tmp_path: Path, fifo: Path) -> None:
    """It says which signals it got: neither is lost, whatever their order."""
    code = f"""
import signal
both = (signal.SIGTERM, signal.SIGINT)
signal.pthread_sigmask(signal.SIG_BLOCK, both)
open({str(fifo)!r}, "w").write("ready")
got = sorted([int(signal.sigwait(both)), int(signal.sigwait(both))])
open({str(fifo)!r}, "w").write(" ".join(map(str, got)))
"""
    watched = Watched(code, tmp_path / "log")
    watched.process.start()
    assert await says(fifo) == "ready"
    stopping = asyncio.create_task(watched.process.stop(grace=PATIENCE, hurried=True))
    assert await says(fifo) == f"{int(signal.SIGINT)} {int(signal.SIGTERM)}"
    await stopping


async def test_restart_replaces_the_process(tmp_path: Path) -> None:
    watched = Watched("import signal\nwhile True: signal.pause()", tmp_path / "log")
    watched.process.start()
    first = await watched.started()
    watched.process.restart()
    assert (await watched.exited()).reason == "signal SIGKILL"
    assert await watched.started() != first
    await watched.process.stop()


async def test_the_environment_is_passed_on(tmp_path: Path, fifo: Path) -> None:
    code = f"import os; open({str(fifo)!r}, 'w').write(os.environ['VLLM_X'])"
    watched = Watched(code, tmp_path / "log", VLLM_X="1")
    watched.process.start()
    assert await says(fifo) == "1"
    await watched.process.stop()


async def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    exits: asyncio.Queue[Exited] = asyncio.Queue()
    process = Supervised(Command("x", ("/no/such/program",)), tmp_path / "log", on_exit=exits.put_nowait)
    process.start()
    exited = await asyncio.wait_for(exits.get(), PATIENCE)
    assert exited.tail == ("/no/such/program: No such file or directory",)
    await process.stop()


async def test_a_process_may_also_be_run_to_its_end_and_is_killed_when_nobody_waits_any_more(
    tmp_path: Path, fifo: Path
) -> None:
    assert await run_to_end(command("print('done'); raise SystemExit(4)"), tmp_path / "log") == 4
    assert last_lines(tmp_path / "log") == ("done",)
    code = f"import os, signal; open({str(fifo)!r}, 'w').write(str(os.getpid()))\nsignal.pause()"
    waiting = asyncio.create_task(run_to_end(command(code), tmp_path / "log"))
    pid = int(await says(fifo))
    waiting.cancel()
    await asyncio.wait({waiting})
    assert gone(pid)


async def test_stopping_before_the_start_is_no_error(tmp_path: Path) -> None:
    process = Supervised(command(""), tmp_path / "log")
    await process.stop()
    assert not (tmp_path / "log").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has died")
async def test_a_killed_supervisor_takes_its_processes_along(tmp_path: Path, fifo: Path) -> None:
    child = f"import os, signal; open({str(fifo)!r}, 'w').write(str(os.getpid()))\nwhile True: signal.pause()"
    supervisor = f"""
import asyncio, pathlib, sys
from signalbox.gateway.supervisor import Command, Supervised
async def main():
    command = Command('c', (sys.executable, '-I', '-S', '-c', {child!r}))
    Supervised(command, pathlib.Path({str(tmp_path / "log")!r})).start()
    await asyncio.Event().wait()
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", supervisor)
    pid = int(await says(fifo))
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    await ended(pid)


def test_pauses_double_up_to_a_limit_and_start_over_after_a_stable_run() -> None:
    backoff = Backoff(first=1.0, longest=5.0, stable=60.0)
    assert [backoff.pause(0.0) for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert backoff.pause(61.0) == 1.0
    assert backoff.pause(1.0) == 2.0


def test_last_lines_may_begin_anywhere(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("old\nnew\n\nnewer\n")
    assert last_lines(log, since=4) == ("new", "newer")
    assert last_lines(log, 1) == ("newer",)
    assert size(log) == 15


def test_a_log_that_is_not_there_has_no_last_lines(tmp_path: Path) -> None:
    assert size(tmp_path / "none") == 0
    assert last_lines(tmp_path / "none") == ()
