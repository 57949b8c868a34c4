"""What a picker has made at its start is spared by the garbage collector."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from signalbox.cli import epp
from signalbox.cli.picker import Picker


async def test_it_is_frozen_once_the_ports_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    collector: Any = SimpleNamespace(collect=lambda: done.append("collect"), freeze=lambda: done.append("freeze"))
    monkeypatch.setattr(epp, "gc", collector)  # the real one would freeze what the other tests have made
    picker = cast(Picker, SimpleNamespace(listening=asyncio.Event()))
    freezing = asyncio.create_task(epp._freeze_when_listening(picker))
    await asyncio.sleep(0)
    assert done == []
    picker.listening.set()
    await freezing
    assert done == ["collect", "freeze"]
