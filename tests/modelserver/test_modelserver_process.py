import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from signalbox.modelserver import run

PROGRAM = "import sys; from signalbox.modelserver import run; sys.exit(run(sys.argv[1:]))"


@contextmanager
def server(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process on a free port of 127.0.0.1, and its URL."""
    command = [sys.executable, "-c", PROGRAM, "--model", "m", "--host", "127.0.0.1", "--port", "0", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}) as process:
        try:
            assert process.stderr is not None
            url = next(line.split()[-1] for line in process.stderr if "listening on" in line)
            yield process, url
        finally:
            process.kill()


def status(url: str, data: bytes | None = None) -> int:
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def content(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as response:
        return bytes(response.read())


def test_sigterm_drains_and_ends_with_zero() -> None:
    with server("--drain-seconds", "0.1") as (process, url):
        assert status(url + "/health") == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def test_a_second_signal_ends_the_drain() -> None:
    with server("--speed", "0.001", "--drain-seconds", "600") as (process, url):
        address = url.removeprefix("http://").split(":")
        with socket.create_connection((address[0], int(address[1]))) as hanging:
            hanging.sendall(
                b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b'Content-Length: 15\r\n\r\n{"prompt": "a"}'
            )
            while content(url + "/load") != b'{"server_load":1}':
                assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            assert process.stderr is not None
            assert any("draining" in line for line in process.stderr)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0


@pytest.mark.parametrize(("allowed", "expected"), [("true", 200), ("1", 200), ("0", 404)])
def test_the_environment_opens_the_lora_endpoints(allowed: str, expected: int) -> None:
    with server("--enable-lora", "--speed", "1000", VLLM_ALLOW_RUNTIME_LORA_UPDATING=allowed) as (_, url):
        assert status(url + "/v1/load_lora_adapter", b'{"lora_name": "a", "lora_path": "p"}') == expected


def test_a_port_in_use_is_one_line_and_exit_code_one(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["--model", "m", "--host", "127.0.0.1", "--port", str(port)]) == 1
    complaint = capsys.readouterr().err.strip().splitlines()[-1]
    assert complaint == f"signalbox modelserver: error: cannot listen on 127.0.0.1:{port}: Address already in use"


def test_a_port_for_cache_events_in_use_is_the_one_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = f'{{"enable_kv_cache_events": true, "endpoint": "tcp://*:{port}"}}'
        assert run(["--model", "m", "--host", "127.0.0.1", "--port", "0", "--kv-events-config", config]) == 1
    complaint = capsys.readouterr().err.strip().splitlines()[-1]
    assert complaint == (
        f"signalbox modelserver: error: cannot publish cache events at tcp://127.0.0.1:{port}: Address already in use;"
        " choose another in --kv-events-config"
    )


def test_bad_arguments_are_one_line_and_exit_code_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--model", "m", "--port", "http"]) == 2
    expected = "signalbox modelserver: error: --port: 'http' is not a port (0 to 65535)\n"
    assert capsys.readouterr().err == expected


def test_help_names_vllms_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    assert "--max-num-seqs" in capsys.readouterr().out
