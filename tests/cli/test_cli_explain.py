"""``signalbox explain`` against a real picker: a process that decides over ext_proc, another one that asks why."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from tests.cli.dialogue import ANSWER, BODY, body, headers, opening, stream
from tests.cli.pickers import Process, channel_to, parse, picker_process, write_source
from typer.testing import CliRunner

from signalbox.cli.admin import decision_log
from signalbox.cli.main import app
from signalbox.pool import Pool

CONFIG = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: queue-scorer}, {type: prefix-cache-scorer}]
schedulingProfiles:
- name: default
  plugins: [{pluginRef: queue-scorer, weight: 2}, {pluginRef: prefix-cache-scorer, weight: 3}]
"""
MODES = ("FULL_DUPLEX_STREAMED", "FULL_DUPLEX_STREAMED")


@dataclass
class Finished:
    """A command that has ended."""

    status: int
    out: str
    err: str


@dataclass
class Asked:
    """A picker and a way to ask it."""

    process: Process
    address: str
    server: str

    async def explain(self, *arguments: str, command: str = "explain") -> Finished:
        """Run ``signalbox explain --server ... ARGUMENTS``."""
        return await signalbox(command, "--server", self.server, *arguments)

    async def json(self, *arguments: str, command: str = "explain") -> dict[str, Any]:
        """The same with ``--json``."""
        done = await self.explain("--json", *arguments, command=command)
        assert (done.status, done.err) == (0, "")
        document: dict[str, Any] = json.loads(done.out)
        return document

    async def send(self, request_id: str, request: bytes = BODY) -> None:
        """One exchange from its first message to the end of the answer, or to its refusal."""
        first = opening(*MODES)
        first.request_headers.CopyFrom(
            headers({":method": "POST", ":path": "/v1/completions", "x-request-id": request_id})
        )
        answer = ext_proc.ProcessingRequest(
            response_headers=headers({":status": "200", "content-type": "application/json"})
        )
        content = ext_proc.ProcessingRequest(response_body=ext_proc.HttpBody(body=ANSWER, end_of_stream=True))
        async with channel_to(self.address) as channel:
            call = stream(channel)()
            for message in (first, body(request)):
                await call.write(message)
            heard = await call.read()
            if heard.WhichOneof("response") != "immediate_response":
                for message in (answer, content):
                    await call.write(message)
                await call.done_writing()
            while await call.read() is not grpc.aio.EOF:
                pass


async def signalbox(*arguments: str, **environment: str) -> Finished:
    """Run a command to its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "signalbox", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", **environment} if environment else None,
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), err.decode())


@contextlib.asynccontextmanager
async def asked(tmp_path: Path, *flags: str) -> AsyncIterator[Asked]:
    """A picker over two pods that do not exist; their metrics cannot be read, which stops no decision."""
    source = write_source(tmp_path / "source", {"pod-0": "127.0.0.2", "pod-1": "127.0.0.3"}, port=1)
    async with picker_process(source, "--secure-serving=false", *flags) as process:
        ready = await process.logged("endpoint picker ready")
        yield Asked(process, f"127.0.0.1:{ready['grpc_port']}", f"http://127.0.0.1:{ready['metrics_port']}")


async def test_a_request_is_explained_by_its_id(tmp_path: Path) -> None:
    async with asked(tmp_path, "--config-text", CONFIG) as picker:
        await picker.send("first")
        await picker.send("second")
        page = await picker.json("second")
        done = await picker.explain("second")
        listed = await picker.explain("--last", "2")
    (decision,) = page["decisions"]
    chosen = decision["chosen"]
    assert decision["prefix_tokens"] > 20_000, "the first request's prompt is the second's"
    assert decision["end"] == {
        "outcome": "complete",
        "status": 200,
        "seconds": decision["end"]["seconds"],
        "ttft_seconds": None,
        "prompt_tokens": 3,
        "completion_tokens": 5,
        "cached_tokens": None,
        "response_bytes": len(ANSWER),
    }
    assert (done.status, done.err) == (0, "")
    text = done.out
    for expected in (f"{chosen} (127.0.0.", "200 complete", "3 + 5 tokens", decision["why"], "queue-scorer", "total"):
        assert expected in text
    rows = [line for line in text.splitlines() if line.startswith("pod-")]
    assert [("chosen" in row, "fallback 1" in row) for row in rows] == [(True, False), (False, True)]
    lines = listed.out.splitlines()
    assert len(lines) == 3
    assert [line.split()[1] for line in lines] == ["request", "first", "second"]
    assert lines[0].index("why") == lines[1].index("pod-", lines[0].index("why"))


async def test_refusals_are_explained_too(tmp_path: Path) -> None:
    async with asked(tmp_path, "--body-limit", "1") as picker:
        await picker.send("no-json", b"x")
        await picker.send("too-large", b" " * (1 << 20) + BODY)
        listed = await picker.json()
        done = await picker.explain("too-large")
    assert [(found["request_id"], found["status"]) for found in listed["decisions"]] == [
        ("no-json", 400),
        ("too-large", 413),
    ]
    assert "413 BadRequest" in done.out
    assert "is larger than the 1048576 bytes" in done.out


async def test_an_unknown_id_is_told_with_the_reach_of_the_ring(tmp_path: Path) -> None:
    async with asked(tmp_path, "--explain-records", "2", "--explain-rate", "0.001") as picker:
        empty = await picker.explain("nobody")
        for number in range(4):
            await picker.send(f"r-{number}")
        full = await picker.explain("nobody")
    assert (empty.status, empty.out) == (1, "")
    assert empty.err == (
        "signalbox explain: no decision for request 'nobody' is kept; the picker has kept no decisions yet\n"
    )
    assert full.status == 1
    assert "; the picker keeps 2 decisions, the oldest of 20" in full.err
    assert "; 2 were passed over, beyond 0.001 a second (--explain-rate)" in full.err


async def test_a_picker_can_keep_none(tmp_path: Path) -> None:
    async with asked(tmp_path, "--explain-records", "0") as picker:
        await picker.send("r-1")
        one, several = await picker.explain("r-1"), await picker.explain()
        status = await picker.explain(command="status")
    for done in (one, several):
        assert done.status == 1
        assert "this picker keeps no decisions; start it with --explain-records 1000" in done.err
    assert "not kept (--explain-records 0)" in status.out


async def test_follow_prints_decisions_as_they_come_until_it_is_interrupted(tmp_path: Path) -> None:
    async with asked(tmp_path) as picker:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "signalbox", "explain", "--server", picker.server, "--follow"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        async with asyncio.timeout(30):
            first = asyncio.ensure_future(process.stdout.readline())
            number = 0
            while not first.done():  # until the reader is there, requests pass it by
                number += 1
                await picker.send(f"r-{number}")
            line = (await first).decode()
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(10):
            _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert line.split()[1].startswith("r-")
    assert " won: " in line or "ended on pod-" in line  # by what it won hangs on whether the machine let scrapes in


async def test_follow_ends_with_the_picker(tmp_path: Path) -> None:
    async with asked(tmp_path) as picker:
        following = asyncio.ensure_future(picker.explain("--follow", "--json"))
        for number in range(20):
            await picker.send(f"r-{number}")
        picker.process.terminate()
        assert await picker.process.ended() == 0
        done = await following
    assert done.status in (0, 1)  # 1 where it had not got there before the picker went
    assert all(json.loads(line)["request_id"].startswith("r-") for line in done.out.splitlines())


class TestWhomToAsk:
    def test_nobody_there(self) -> None:
        done = CliRunner().invoke(app, ["explain", "--server", "http://127.0.0.1:1"])
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr == (
            "signalbox explain: no picker at http://127.0.0.1:1: Connection refused; give the metrics port of a running"
            " picker with --server URL\n"
        )

    @pytest.mark.parametrize("server", ["ftp://x", "http://", "http://x:0", "http://x:port", "http://h/?q=1"])
    def test_an_address_that_is_none(self, server: str) -> None:
        done = CliRunner().invoke(app, ["explain", "--server", server])
        assert (done.exit_code, done.stderr) == (
            2,
            f"signalbox explain: --server {server}: give the picker's metrics port as http://HOST:PORT\n",
        )

    async def test_somebody_else(self, tmp_path: Path) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            for arguments in (("explain",), ("explain", "r-1"), ("explain", "--follow"), ("status",)):
                done = await signalbox(*arguments, "--server", url)
                assert done.status == 1
                assert f"{url} is not a picker's admin port: GET /debug/" in done.err
                assert done.err.count("\n") == 1

    def test_two_questions_at_once(self) -> None:
        done = CliRunner().invoke(app, ["explain", "r-1", "--follow"])
        assert done.exit_code == 2
        assert "give one of REQUEST_ID, --last and --follow" in done.stderr

    async def test_the_picker_that_runs_here_is_found_and_forgotten_when_it_stops(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TMPDIR", str(tmp_path))  # pickers leave notes in the user's temporary directory
        async with asked(tmp_path) as picker:
            await picker.send("r-1")
            alone = await signalbox("explain", "r-1")
            async with asked(tmp_path) as other:
                several = await signalbox("explain", "r-1")
                other.process.terminate()
                await other.process.ended()
            again = await signalbox("explain", "r-1")
        assert (alone.status, again.status) == (0, 0)
        assert several.status == 2
        assert "2 pickers run here: default/pool at http://127.0.0.1:" in several.err
        assert "; choose one with --server URL" in several.err


class TestFlags:
    def test_what_is_kept_by_default(self) -> None:
        options = parse()
        assert (options.explain_records, options.explain_sample, options.explain_rate) == (1000, 1.0, 100.0)
        log = decision_log(options, Pool("pool"))
        assert log is not None
        assert (log.capacity, log.sample, log.rate) == (1000, 1.0, 100.0)

    def test_each_can_be_set_and_records_switched_off(self) -> None:
        options = parse("--explain-records", "7", "--explain-sample", "0.5", "--explain-rate", "3")
        log = decision_log(options, Pool("pool"))
        assert log is not None
        assert (log.capacity, log.sample, log.rate) == (7, 0.5, 3.0)
        assert decision_log(parse("--explain-records=0"), Pool("pool")) is None

    @pytest.mark.parametrize(
        "flag", ["--explain-records=-1", "--explain-sample=1.1", "--explain-sample=-0.1", "--explain-rate=0"]
    )
    def test_what_makes_no_sense_is_refused(self, flag: str) -> None:
        done = CliRunner().invoke(app, ["epp", flag])
        assert done.exit_code == 2
        assert flag.partition("=")[0] in done.stderr
