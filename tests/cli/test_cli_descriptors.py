"""The limit of open files: raised as far as it goes, and a warning where that is not far enough."""

from __future__ import annotations

import resource

import pytest

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
    allow_descriptors(4096)
    assert now[0][0] == left
    assert [vars(record)["descriptors"] for record in caplog.records] == ([left] if warned else [])
