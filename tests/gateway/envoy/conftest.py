"""Fixtures around a real Envoy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.envoy.fake_picker import FakePicker
from tests.gateway.envoy.harness import PickerProcess, RealGateway, Server

StartServers = Callable[[int], Awaitable[list[Server]]]
StartGateway = Callable[..., Awaitable[RealGateway]]


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Closes what a test has started, in reverse order."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def start_servers(stack: AsyncExitStack) -> StartServers:
    """Start this many model servers."""

    async def start(count: int) -> list[Server]:
        servers = [Server() for _ in range(count)]
        for server in servers:
            runner = await server.start()
            stack.push_async_callback(runner.cleanup)
            stack.callback(server.go_on.set)
        return servers

    return start


@pytest.fixture
async def picker(stack: AsyncExitStack) -> FakePicker:
    """A picker in this process."""
    picker = FakePicker()
    await picker.start()
    stack.push_async_callback(picker.server.stop, None)
    return picker


@pytest.fixture
async def picker_process(stack: AsyncExitStack) -> PickerProcess:
    """A picker in a process of its own."""
    picker = PickerProcess()
    stack.push_async_callback(picker.kill)
    await picker.start()
    return picker


@pytest.fixture
def start_gateway(stack: AsyncExitStack, tmp_path: Path) -> StartGateway:
    """Make a gateway with these options; it starts with the first configuration it is given."""

    async def start(**settings: Any) -> RealGateway:
        return await stack.enter_async_context(RealGateway(tmp_path, **settings))

    return start
