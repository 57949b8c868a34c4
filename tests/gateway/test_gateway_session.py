"""What follows the manifests of one run of ``up`` outlives what nobody foresaw."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.gateway.gateway_manifests import POOL

from signalbox.gateway import session as module
from signalbox.gateway.cluster import Cluster
from signalbox.gateway.desired import Desired, sort_out
from signalbox.gateway.session import Session
from signalbox.gateway.up import UpOptions
from signalbox.sources import ManifestReader


async def test_manifests_that_cannot_be_put_together_change_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "pool.yaml"
    path.write_text(POOL)
    wanted: list[Desired] = []
    again = asyncio.Event()

    def want(desired: Desired) -> None:
        wanted.append(desired)
        again.set()

    cluster = SimpleNamespace(desired=None, want=want)
    failures = iter([RuntimeError("no such luck")])

    def sorted_out(*args: Any, **named: Any) -> Desired:
        for failure in failures:
            raise failure
        return sort_out(*args, **named)

    monkeypatch.setattr(module, "sort_out", sorted_out)
    session = Session(UpOptions(paths=(path,), plain=True), 0.0)
    following = asyncio.create_task(session._follow(ManifestReader([path]), cast(Cluster, cluster)))
    async with asyncio.timeout(30):
        while not again.is_set():
            path.write_text(path.read_text() + "# saved\n")
            await asyncio.sleep(0.05)
    assert not following.done()
    following.cancel()
    assert len(wanted[0].pools) == 1
    assert f"{path}: could not be checked (RuntimeError: no such luck); " in capsys.readouterr().out
    assert [vars(record)["paths"] for record in caplog.records if record.exc_info] == [str(path)]
