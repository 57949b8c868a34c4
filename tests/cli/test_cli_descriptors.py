"""The limit of open files: raised as far as it goes, and a warning where that is not far enough."""

from __future__ import annotations

import logging
import resource
from collections.abc import Coroutine

import pytest
import uvloop
from tests.cli.body_routers import parse

from signalbox.cli import bbr
from signalbox.cli.descriptors import allow_descriptors

INFINITY = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("limits", "refused", "left", "warned"),
    [
        pytest.param((1024, 8192), False, 8192, False, id="raised"),
        pytest.param((8192, 8192), False, 8192, False, id="as-high-as-it-goes"),
        pytest.param((1024, INFINITY), False, INFINITY, False, id="without-bound"),
        pytest.param((256, 1024), False, 1024, True, id="too-low-all-the-same"),
        pytest.param((1024, 8192), True, 1024, True, id="the-system-refuses"),
    ],
)
def test_the_limit(
    limits: tuple[int, int],
    refused: bool,
    left: int,
    warned: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [limits]

    def setrlimit(what: int, wanted: tuple[int, int]) -> None:
        assert what == resource.RLIMIT_NOFILE
        if refused:
            raise ValueError("not allowed to raise maximum limit")
        now[0] = wanted

    monkeypatch.setattr(resource, "getrlimit", lambda what: now[0])
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    allow_descriptors(4096, logging.getLogger("a command"), "--max-connections")
    assert now[0][0] == left
    assert [vars(record)["descriptors"] for record in caplog.records] == ([left] if warned else [])


@pytest.mark.parametrize(
    ("flags", "warned"),
    [
        pytest.param((), True, id="the-default-is-more"),
        pytest.param(("--transport-limit", "connections=1000"), False, id="few-connections"),
    ],
)
def test_body_based_routing_raises_it_too(
    flags: tuple[str, ...], warned: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    limits = [(512, 2048)]
    served: list[tuple[int, int]] = []

    def serve(main: Coroutine[None, None, None]) -> None:
        main.close()
        served.append(limits[0])

    monkeypatch.setattr(resource, "getrlimit", lambda what: limits[0])
    monkeypatch.setattr(resource, "setrlimit", lambda what, wanted: limits.__setitem__(0, wanted))
    monkeypatch.setattr(bbr, "configure_logging", lambda level, form: None)
    monkeypatch.setattr(uvloop, "run", serve)
    assert bbr.run(parse(*flags)) == 0
    assert served == [(2048, 2048)], "before anything is served"
    assert [vars(record)["connections"] for record in caplog.records] == ([4096] if warned else [])
