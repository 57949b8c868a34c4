"""How the process ends: health first, then GOAWAY, the requests under way, a bound, and the port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from tests.cli.dialogue import Turn, destination, dialogue, stream
from tests.cli.pickers import Process, channel_to, picker_process, write_source

from signalbox.cli.stopping import Stop

PLAIN = "--secure-serving=false"
DIALOGUE = dialogue("BUFFERED", "STREAMED")
NOT_SERVING = b"\x08\x02"


async def say(call: Any, turn: Turn) -> list[Any]:
    """One turn of a dialogue."""
    for message in turn.say:
        await call.write(message)
    return [await call.read() for _ in turn.hear]


@asynccontextmanager
async def with_a_request_under_way(
    tmp_path: Path, *flags: str
) -> AsyncIterator[tuple[Process, Any, grpc.aio.Channel, str]]:
    """A picker process, a call that has had its first turn, a channel to its health service, and its address."""
    async with picker_process(write_source(tmp_path / "source"), *flags) as picker:
        ready = await picker.logged("endpoint picker ready")
        address = f"127.0.0.1:{ready['grpc_port']}"
        secure = None
        async with (
            channel_to(address, secure) as channel,
            channel_to(f"127.0.0.1:{ready['health_port']}") as health,
        ):
            call = stream(channel)()
            await say(call, DIALOGUE[0])
            yield picker, call, health, address


async def refuses(address: str) -> bool:
    """Whether nobody listens there any more."""
    host, _, port = address.partition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
        writer.close()
        await writer.wait_closed()
    except ConnectionError:  # refused, or reset where it waited to be accepted
        return True
    return False


async def test_a_request_under_way_finishes_and_no_new_one_is_taken(tmp_path: Path) -> None:
    async with with_a_request_under_way(tmp_path, PLAIN) as (picker, call, health, address):
        watch = health.unary_stream("/grpc.health.v1.Health/Watch")(b"")
        assert await watch.read() != NOT_SERVING
        assert not await refuses(address)
        picker.terminate()
        assert await watch.read() == NOT_SERVING
        draining = await picker.logged("draining")
        assert draining["calls"] == 1
        async with asyncio.timeout(10):
            while not await refuses(address):
                pass
        heard = [answer for turn in DIALOGUE[1:] for answer in await say(call, turn)]
        assert destination(heard) == "127.0.0.2:8000"
        await call.done_writing()
        assert await call.code() == grpc.StatusCode.OK
        assert await picker.ended() == 0


async def test_a_client_on_the_old_connection_is_told_to_go_elsewhere(tmp_path: Path) -> None:
    async with picker_process(write_source(tmp_path / "source"), PLAIN) as picker:
        ready = await picker.logged("endpoint picker ready")
        async with channel_to(f"127.0.0.1:{ready['grpc_port']}") as channel:
            first = stream(channel)()
            await say(first, DIALOGUE[0])
            picker.terminate()
            await picker.logged("draining")
            async with asyncio.timeout(10):
                while (state := channel.get_state()) is grpc.ChannelConnectivity.READY:
                    await channel.wait_for_state_change(state)
            second = stream(channel)()  # on a new connection, which nobody takes
            assert await second.code() == grpc.StatusCode.UNAVAILABLE
            await say(first, DIALOGUE[1])
            first.cancel()
        assert await picker.ended() == 0


async def test_what_takes_longer_than_the_bound_is_cut(tmp_path: Path) -> None:
    async with with_a_request_under_way(tmp_path, PLAIN, "--drain-seconds", "0.2") as (picker, call, _, _):
        picker.terminate()
        with pytest.raises(grpc.aio.AioRpcError):
            await say(call, Turn((), ("request_body",)))
        assert await call.code() != grpc.StatusCode.OK
        assert await picker.ended() == 0
        await picker.logged("stopped")


async def test_a_second_sigterm_stops_at_once(tmp_path: Path) -> None:
    async with with_a_request_under_way(tmp_path, PLAIN, "--drain-seconds", "600") as (picker, call, _, _):
        picker.terminate()
        await picker.logged("draining")
        picker.terminate()
        hurried = await picker.logged("asked to stop again: closing at once")
        assert hurried["calls"] == 1
        assert await call.code() != grpc.StatusCode.OK
        assert await picker.ended() == 0


async def test_a_delay_leaves_the_port_open_to_new_connections_while_health_says_not_serving(tmp_path: Path) -> None:
    delayed = (PLAIN, "--drain-delay", "600", "--drain-seconds", "600")
    async with with_a_request_under_way(tmp_path, *delayed) as (picker, call, health, address):
        watch = health.unary_stream("/grpc.health.v1.Health/Watch")(b"")
        assert await watch.read() != NOT_SERVING
        picker.terminate()
        assert await watch.read() == NOT_SERVING
        pausing = await picker.logged("no longer serving; calls are still taken")
        assert (pausing["seconds"], pausing["calls"]) == (600, 1)
        async with channel_to(address) as another:
            late = stream(another)()
            heard = [answer for turn in DIALOGUE for answer in await say(late, turn)]
            assert destination(heard) == "127.0.0.2:8000"
            await late.done_writing()
            assert await late.code() == grpc.StatusCode.OK
        picker.terminate()  # a second one ends the delay, too
        await picker.logged("asked to stop again: closing at once")
        assert await call.code() != grpc.StatusCode.OK
        assert await picker.ended() == 0


async def test_after_the_delay_it_drains_as_it_does_without_one(tmp_path: Path) -> None:
    delayed = (PLAIN, "--drain-delay", "100ms", "--drain-seconds", "600")
    async with with_a_request_under_way(tmp_path, *delayed) as (picker, call, _, address):
        picker.terminate()
        draining = await picker.logged("draining")
        assert draining["calls"] == 1
        async with asyncio.timeout(10):
            while not await refuses(address):
                pass
        await say(call, DIALOGUE[1])
        call.cancel()
        assert await picker.ended() == 0


async def test_an_idle_picker_ends_without_waiting(tmp_path: Path) -> None:
    async with picker_process(write_source(tmp_path / "source"), "--drain-seconds", "600") as picker:
        ready = await picker.logged("endpoint picker ready")
        assert ready["certificate"] == "self-signed"
        picker.terminate()
        assert await picker.ended() == 0


async def test_the_first_request_to_stop_is_gentle_and_the_second_is_not() -> None:
    stop = Stop()
    assert not stop.gently.is_set()
    stop.ask()
    assert (stop.gently.is_set(), stop.at_once.is_set()) == (True, False)
    stop.ask()
    stop.ask()
    assert stop.at_once.is_set()
