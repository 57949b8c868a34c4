"""How ``signalbox explain`` finds the pickers of this machine."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from signalbox.cli import admin_client
from signalbox.cli.admin_client import DEFAULT, AdminError, Server, choose_server, fetch
from signalbox.cli.registered import Registered, directory, registered, running
from signalbox.observability.server import Denial, MetricsServer

ONE = Registered("default/a", "http://127.0.2.1:9090")
TWO = Registered("default/b", "http://127.0.2.2:9091")


def test_a_picker_is_known_as_long_as_it_runs(tmp_path: Path) -> None:
    place = tmp_path / "notes"
    assert running(place) == []
    with registered(TWO, place), registered(ONE, place):
        assert running(place) == [ONE, TWO]
    assert running(place) == []
    assert list(place.iterdir()) == []


def test_the_directory_is_the_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with registered(ONE):
        assert stat.S_IMODE(directory().stat().st_mode) == 0o700
        assert directory().parent == tmp_path
        assert running() == [ONE]


def test_the_note_of_a_picker_that_was_killed_is_cleared_away(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    note = tmp_path / f"{int(ended.stdout)}-9090.json"
    note.write_text(json.dumps({"pool": "default/a", "url": ONE.url}))
    assert running(tmp_path) == []
    assert not note.exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pool": "x"}', "no json"])
def test_a_note_that_makes_no_sense_is_passed_over(tmp_path: Path, text: str) -> None:
    (tmp_path / f"{os.getpid()}-1.json").write_text(text)
    assert running(tmp_path) == []


def test_a_directory_that_is_a_link_is_not_trusted(tmp_path: Path) -> None:
    real = tmp_path / "real"
    with registered(ONE, real):
        (tmp_path / "link").symlink_to(real)
        assert running(tmp_path / "link") == []


def test_where_no_note_can_be_left_the_picker_runs_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with registered(ONE, tmp_path / "file"):
        assert running(tmp_path / "file") == []


class TestChoice:
    @pytest.fixture
    def here(self, monkeypatch: pytest.MonkeyPatch) -> list[Registered]:
        found: list[Registered] = []
        monkeypatch.setattr(admin_client, "running", lambda: found)
        return found

    def test_where_nothing_runs_it_is_the_default_port(self, here: list[Registered]) -> None:
        assert choose_server(None) == Server(DEFAULT)

    def test_the_only_one_is_taken(self, here: list[Registered]) -> None:
        here.append(ONE)
        assert choose_server(None) == Server(ONE.url)

    def test_of_several_one_must_be_named(self, here: list[Registered]) -> None:
        here += [ONE, TWO]
        with pytest.raises(AdminError, match=f"2 pickers run here: default/a at {ONE.url}; default/b at") as caught:
            choose_server(None)
        assert caught.value.status == 2
        assert choose_server(TWO.url) == Server(TWO.url)

    @pytest.mark.parametrize(
        ("said", "meant"),
        [
            ("localhost:9090", "http://localhost:9090"),
            ("http://10.0.0.1:9090/", "http://10.0.0.1:9090"),
            ("http://[::1]:9090", "http://[::1]:9090"),
            ("http://gateway/picker", "http://gateway/picker"),
        ],
    )
    def test_an_address_may_be_short(self, here: list[Registered], said: str, meant: str) -> None:
        assert choose_server(said) == Server(meant)

    def test_a_token_is_read_from_its_file(self, here: list[Registered], tmp_path: Path) -> None:
        (tmp_path / "token").write_text("secret\n")
        assert choose_server("h:1", tmp_path / "token") == Server("http://h:1", "secret")

    @pytest.mark.parametrize("content", [None, b"\xff", b"two\nlines"])
    def test_a_token_that_cannot_be_one(self, here: list[Registered], tmp_path: Path, content: bytes | None) -> None:
        file = tmp_path / "token"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(AdminError, match=r"--token-file .*token: ") as caught:
            choose_server("h:1", file)
        assert caught.value.status == 2


async def test_a_picker_that_asks_for_a_token_gets_it() -> None:
    async def guard(path: str, authorization: str) -> Denial | None:
        return None if authorization == "Bearer secret" else Denial(401, "who are you?")

    async def page(_request: web.Request) -> web.Response:
        return web.json_response({"path": "page"})

    server = MetricsServer(CollectorRegistry(), guard=guard)
    server.add_get("/page", page)
    await server.start("127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.port}"
    try:
        assert await asyncio.to_thread(fetch, Server(url, "secret"), "/page") == {"path": "page"}
        with pytest.raises(AdminError, match=r"who are you.; give a token that may read its metrics with --token-file"):
            await asyncio.to_thread(fetch, Server(url), "/page")
    finally:
        await server.close()
