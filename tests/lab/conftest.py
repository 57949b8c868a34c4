"""Builders for replays: servers whose every step takes a second, and short traces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from signalbox.engine import DEFAULT_PROFILE, PROFILES, EngineConfig
from signalbox.lab import Server, TraceRequest, Workload
from signalbox.lab.workload import chain

MakeServer = Callable[..., Server]
MakeWorkload = Callable[..., Workload]


@pytest.fixture
def second_server() -> MakeServer:
    """A server whose every step takes one second, whatever is in it: 100 blocks of 4 tokens unless told otherwise."""

    def make(*, joins: float = 0.0, leaves: float = float("inf"), **limits: Any) -> Server:
        profile = replace(
            PROFILES[DEFAULT_PROFILE], step_seconds=1.0, prefill_seconds=0.0, decode_seconds=0.0, kv_read_seconds=0.0
        )
        config = EngineConfig(num_gpu_blocks=100, block_size=4, max_num_seqs=8, max_num_batched_tokens=64)
        return Server(profile, replace(config, **limits), joins, leaves)

    return make


@pytest.fixture
def workload_of() -> MakeWorkload:
    """A workload of ``(at, prompt, output)`` or ``(at, prompt, output, contents of blocks)``, blocks of 8 tokens."""

    def make(*requests: tuple[Any, ...], block_tokens: int = 8, **fields: Any) -> Workload:
        made = [
            TraceRequest(at, prompt, output, chain(rest[0]) if rest else (), **fields)
            for at, prompt, output, *rest in requests
        ]
        return Workload("made", tuple(made), block_tokens)

    return make
