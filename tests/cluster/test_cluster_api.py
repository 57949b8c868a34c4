"""Requests to an API server: credentials that are renewed, errors that say what happened."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from pathlib import Path

import pytest
from aiohttp import web
from tests.cluster.fake_api import connected, fake_api, kubeconfig, status

from signalbox.cluster import Access, Api, Refused, Unreachable, token_program


async def hello(_request: web.Request) -> web.Response:
    return web.Response(text="{}")


async def test_a_request_carries_the_token_and_returns_the_body(tmp_path: Path) -> None:
    async with connected(tmp_path, hello, token="secret") as (api, fake):
        assert await api.request("GET", "/api/v1/pods", {"limit": "5"}) == b"{}"
        await api.request("POST", "/x", body={"a": [1]})
    assert fake.paths == ["GET /api/v1/pods?limit=5", "POST /x"]
    assert fake.tokens[0] == "Bearer secret"
    assert fake.bodies == [None, {"a": [1]}]


async def test_an_error_is_the_servers_own_words(tmp_path: Path) -> None:
    async def full(_request: web.Request) -> web.Response:
        return status(429, "too many requests", details={"retryAfterSeconds": 3})

    async with connected(tmp_path, full) as (api, _):
        with pytest.raises(Refused, match="429: too many requests") as caught:
            await api.request("GET", "/")
    assert (caught.value.code, caught.value.retry_after, caught.value.gone) == (429, 3.0, False)


async def test_an_error_without_a_status_object_is_an_error_all_the_same(tmp_path: Path) -> None:
    async def proxy(_request: web.Request) -> web.Response:
        return web.Response(status=503, text="<h1>upstream</h1>", headers={"Retry-After": "9"})

    async with connected(tmp_path, proxy) as (api, _):
        with pytest.raises(Refused, match="<h1>upstream</h1>") as caught:
            await api.request("GET", "/")
    assert caught.value.retry_after == 9.0


async def test_nobody_there_is_unreachable(tmp_path: Path) -> None:
    async with fake_api(hello) as fake:
        pass
    api = Api(Access(kubeconfig(tmp_path / "config", fake.url, token="t")))
    with pytest.raises(Unreachable, match="ConnectError"):
        await api.request("GET", "/")
    await api.close()


async def test_a_token_file_that_was_rotated_is_read_again_within_the_request(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")

    async def check(request: web.Request) -> web.Response:
        return status(401) if request.headers["Authorization"] == "Bearer old" else web.Response(text="{}")

    async with connected(tmp_path, check, tokenFile=str(token)) as (api, fake):
        with pytest.raises(Refused, match="401"):
            await api.request("GET", "/")
        token.write_text("new\n")
        await api.request("GET", "/")
    assert fake.tokens[-1] == "Bearer new"


PROGRAMS = {
    "no JSON": "echo oops",
    "no text": "printf '\\377\\376'",
    "an error page": 'echo \'{"message": "login"}\'',
    "no status": "echo '{\"status\": null}'",
    "nothing": "true",
    "a failure": "exit 3",
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=list(PROGRAMS))
async def test_a_program_that_prints_no_token_is_a_failure_and_may_print_one_later(
    tmp_path: Path, program: str
) -> None:
    script = tmp_path / "login"
    script.write_text(f"#!/bin/sh\n{program}\n")
    script.chmod(0o755)
    exec_ = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": str(script)}
    async with connected(tmp_path, hello, exec=exec_) as (api, fake):
        with pytest.raises(Unreachable, match="login"):
            await api.request("GET", "/")
        with pytest.raises(Unreachable, match="login"):
            async with api.stream("/", {}, 5.0):
                raise AssertionError("never entered")
        script.write_text('#!/bin/sh\necho \'{"status": {"token": "t"}}\'\n')
        assert await api.request("GET", "/") == b"{}"
    assert fake.tokens == ["Bearer t"]


@pytest.mark.parametrize("program", ["exec sleep 1000", "sleep 1000", "sleep 1000 & exit 0"])
async def test_a_program_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(token_program, "PATIENCE", 0.2)
    script = tmp_path / "login"
    script.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\n{program}\n")
    script.chmod(0o755)
    exec_ = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": str(script)}
    async with connected(tmp_path, hello, exec=exec_) as (api, fake):
        with pytest.raises(Unreachable, match=r"login printed no token within 0\.2 s and was ended; see why it hangs"):
            await api.request("GET", "/")
        async with asyncio.timeout(30):
            with contextlib.suppress(ProcessLookupError):
                while True:  # until those who were killed are gone
                    os.killpg(int((tmp_path / "pid").read_text()), 0)
                    await asyncio.sleep(0.01)
        script.write_text('#!/bin/sh\necho \'{"status": {"token": "t"}}\'\n')
        assert await api.request("GET", "/") == b"{}"
    assert fake.tokens == ["Bearer t"]


async def test_a_program_is_asked_again_when_its_token_is_refused(tmp_path: Path) -> None:
    script = tmp_path / "login"
    script.write_text(
        f"#!/bin/sh\necho x >> {tmp_path}/runs\n"
        + """echo '{"status": {"token": "'$(wc -l < """
        + f"{tmp_path}/runs"
        + """)'"}}'\n"""
    )
    script.chmod(0o755)

    async def second(request: web.Request) -> web.Response:
        return web.Response(text="{}") if request.headers["Authorization"] == "Bearer 2" else status(401)

    exec_ = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": str(script)}
    async with connected(tmp_path, second, exec=exec_) as (api, fake):
        with pytest.raises(Refused, match="401"):
            await api.request("GET", "/")
        assert await api.request("GET", "/") == b"{}"
    assert fake.tokens == ["Bearer 1", "Bearer 2"]


async def test_a_kubeconfig_that_was_renewed_is_read_again_after_a_401(tmp_path: Path) -> None:
    async def check(request: web.Request) -> web.Response:
        return status(401) if request.headers["Authorization"] == "Bearer old" else web.Response(text="{}")

    async with connected(tmp_path, check, token="old") as (api, fake):
        answers = await asyncio.gather(*(api.request("GET", "/") for _ in range(5)), return_exceptions=True)
        assert all(isinstance(answer, Refused) for answer in answers)
        kubeconfig(tmp_path / "config", fake.url, token="new")
        await api.request("GET", "/")
    assert fake.tokens[-1] == "Bearer new"


async def test_a_kubeconfig_that_went_missing_is_said_and_waited_for(tmp_path: Path) -> None:
    async def check(request: web.Request) -> web.Response:
        return status(401) if request.headers["Authorization"] == "Bearer old" else web.Response(text="{}")

    async with connected(tmp_path, check, token="old") as (api, fake):
        with pytest.raises(Refused):
            await api.request("GET", "/")
        (tmp_path / "config").unlink()
        with pytest.raises(Unreachable, match="not found"):
            await api.request("GET", "/")
        kubeconfig(tmp_path / "config", fake.url, token="new")
        assert await api.request("GET", "/") == b"{}"


async def test_a_stream_gives_chunks_as_they_come_and_its_end(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"one")
        await go_on.wait()
        await answer.write(b"two")
        return answer

    async with connected(tmp_path, stream) as (api, _), api.stream("/", {}, 5.0) as chunks:
        assert await anext(chunks) == b"one"
        go_on.set()
        assert [chunk async for chunk in chunks] == [b"two"]


async def test_a_stream_that_falls_silent_is_given_up(tmp_path: Path) -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await asyncio.sleep(60)
        return answer

    async with connected(tmp_path, silent) as (api, _):
        with pytest.raises(Unreachable, match="ReadTimeout"):
            async with api.stream("/", {}, 0.05) as chunks:
                await anext(chunks)
    gc.collect()  # a generator left open would warn here


async def test_a_stream_that_is_refused_says_why(tmp_path: Path) -> None:
    async def refuse(_request: web.Request) -> web.Response:
        return status(410, "too old resource version: 5 (90)")

    async with connected(tmp_path, refuse) as (api, _):
        with pytest.raises(Refused, match="too old") as caught:
            async with api.stream("/", {}, 5.0):
                raise AssertionError("never entered")
    assert caught.value.gone
