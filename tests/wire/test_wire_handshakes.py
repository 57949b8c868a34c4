"""Connections that are not TLS yet: bounded, and gone when they are given up, whatever loop runs them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine

import pytest
import uvloop

from signalbox.wire import GrpcServer, Limits, ServerTls
from signalbox.wire.frames import PREFACE, SETTINGS_ACK, frame, ping, settings
from signalbox.wire.handshake_line import TAKEN_UP_SECONDS, HandshakePace
from signalbox.wire.handshakes import Handshakes
from signalbox.wire.turns_standing import Shares

OPAQUE = b"a token."
GREETING = PREFACE + settings(()) + SETTINGS_ACK

Run = Callable[[Coroutine[None, None, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    def on_its_loop(test: Coroutine[None, None, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(test, 20))

    return on_its_loop


def context() -> ssl.SSLContext:
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    trusting.set_alpn_protocols(["h2"])
    return trusting


async def until(fact: Callable[[], bool]) -> None:
    """Let the loop go round until ``fact`` holds."""
    while not fact():  # noqa: ASYNC110 - a fact has no event
        await asyncio.sleep(0)


async def listen(limits: Limits | None = None) -> GrpcServer:
    server = GrpcServer({}, limits)
    await server.start("127.0.0.1", 0, ServerTls().context)
    return server


async def silent(server: GrpcServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which nothing is said."""
    before = server.handshakes
    peer = await asyncio.open_connection("127.0.0.1", server.port)
    await until(lambda: server.handshakes != before or server.handshakes == 3)
    return peer


def test_the_oldest_makes_room_for_one_more(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with await listen(Limits(connections=3)) as server:
            peers = [await silent(server) for _ in range(8)]
            for reader, _ in peers[:5]:
                assert await reader.read() == b"", "cut without a word"
            assert (server.handshakes, server.connections) == (3, 0)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context())
            writer.write(GREETING + ping(OPAQUE))
            await reader.readuntil(OPAQUE)
            assert (server.handshakes, server.connections) == (2, 1), "who means it gets in"
            assert server.handshake_failures["crowded"] == 6
            for _, closing in (*peers, (reader, writer)):
                closing.close()
            await until(lambda: server.handshakes == server.connections == 0)

    run(scenario())
    cut = [record for record in caplog.records if record.getMessage() == "connection cut"]
    assert [vars(record)["kind"] for record in cut] == ["handshakes"], "once, however many"


def test_a_crowd_that_comes_at_once_is_bounded_too(run: Run) -> None:
    async def scenario() -> None:
        async with await listen(Limits(connections=3)) as server:
            peers = await asyncio.gather(
                *(asyncio.open_connection("127.0.0.1", server.port) for _ in range(60)), return_exceptions=True
            )
            opened = [peer for peer in peers if not isinstance(peer, BaseException)]
            assert len(opened) == 60
            ends = [asyncio.ensure_future(reader.read()) for reader, _ in opened]
            await until(lambda: sum(end.done() for end in ends) == 57)
            assert (server.handshakes, server.connections) == (3, 0)
            for _, closing in opened:
                closing.close()
            await asyncio.wait(ends)

    run(scenario())


def test_what_the_client_says_at_once_is_heard_in_order(run: Run) -> None:
    async def scenario() -> None:
        async with await listen() as server:
            for _ in range(20):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context())
                for piece in (GREETING[:5], GREETING[5:], ping(b"the 1st."), ping(b"the 2nd.")):
                    writer.write(piece)
                heard = await reader.readuntil(b"the 2nd.")
                assert b"the 1st." in heard
                writer.close()
            await until(lambda: server.connections == 0)

    run(scenario())


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(GREETING, id="h2-without-tls"),
        pytest.param(frame(0, 0, 0, b""), id="a-frame"),
        pytest.param(b"\x16\x03\x01", id="the-beginning-of-one"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_those_that_come_to_nothing_leave_nothing(run: Run, said: bytes) -> None:
    async def scenario() -> None:
        async with await listen() as server:
            _, writer = await silent(server)
            writer.write(said)
            writer.close()
            await until(lambda: server.handshakes == 0)
            assert server.connections == 0
            assert server.handshake_failures == {"refused": 1}

    run(scenario())


def test_a_reset_in_the_middle_leaves_nothing(run: Run) -> None:
    async def scenario() -> None:
        async with await listen() as server:
            for said in (b"", b"\x16\x03\x01"):
                _, writer = await silent(server)
                writer.write(said)
                writer.transport.abort()
                await until(lambda: server.handshakes == 0)
            assert server.connections == 0

    run(scenario())


def test_each_has_as_long_as_a_preface(run: Run) -> None:
    async def scenario() -> None:
        async with await listen(Limits(preface_seconds=0.01)) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            assert await reader.read() == b""
            await until(lambda: server.handshakes == 0)
            assert server.handshake_failures == {"timeout": 1}
            writer.close()

    run(scenario())


def test_none_outlives_the_server(run: Run) -> None:
    async def scenario() -> None:
        server = await listen()
        reader, writer = await silent(server)
        assert server.handshakes == 1
        await server.drain(5)
        assert server.handshakes == 0
        assert await reader.read() == b""
        writer.close()

    run(scenario())


class Gate(HandshakePace):
    """A pace that lets as many begin as it is told."""

    def __init__(self) -> None:
        super().__init__(1.0, Shares(1.0))
        self.admits = 0
        self.asked = 0
        self.spent: list[float] = []

    def wait(self, now: float) -> float:
        self.asked += 1
        return 0.0 if self.admits else 0.001

    def spend(self, seconds: float, now: float) -> None:
        self.spent.append(seconds)
        self.admits -= seconds == TAKEN_UP_SECONDS


class Paced:
    """Handshakes behind a gate, and the hosts of those that have come through."""

    def __init__(self, most: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.gate = Gate()
        self.through: list[str] = []
        self.handshakes = Handshakes(
            self.loop, ServerTls().context, most, 10.0, self.gate, lambda: Told(self.through), lambda: None
        )
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Paced:
        self._server = await self.loop.create_server(self.handshakes.accept, "0.0.0.0", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def wait_for(self, waiting: int) -> None:
        """Until so many are in their handshake or wait for it."""
        await until(lambda: len(self.handshakes) == waiting)


class Told(asyncio.Protocol):
    """Writes down who has come through its handshake."""

    def __init__(self, hosts: list[str]) -> None:
        self.hosts = hosts

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.hosts.append(transport.get_extra_info("peername")[0])


def test_while_time_is_short_handshakes_wait_and_then_hosts_take_turns(run: Run) -> None:
    async def scenario() -> None:
        async with Paced(100) as paced:
            opening = []
            one, other = "127.0.0.1", "127.0.0.2"
            for count, host in enumerate([one, one, one, one, other, other], 1):
                peer = asyncio.open_connection(
                    "127.0.0.1", paced.port, ssl=context(), local_addr=(host, 0), server_hostname="localhost"
                )
                opening.append(asyncio.ensure_future(peer))
                await paced.wait_for(count)
            asked = paced.gate.asked
            await until(lambda: paced.gate.asked > asked + 3)
            assert (paced.through, paced.gate.spent) == ([], []), "asked again and again, and none has begun"
            for count in range(5, -1, -1):
                paced.gate.admits = 1
                await paced.wait_for(count)
            assert paced.through == [one, other, one, other, one, one]
            assert paced.gate.spent.count(TAKEN_UP_SECONDS) == 6
            assert len(paced.gate.spent) >= 3 * 6, "what TLS itself takes is charged as well, step by step"
            for _, writer in await asyncio.gather(*opening):
                writer.transport.abort()

    run(scenario())


def test_who_went_away_while_waiting_costs_no_handshake(run: Run) -> None:
    async def scenario() -> None:
        async with Paced(100) as paced:
            for count in range(1, 4):
                _, writer = await asyncio.open_connection("127.0.0.1", paced.port)
                await paced.wait_for(count)
                writer.close()
                await writer.wait_closed()
            paced.gate.admits = 3
            await paced.wait_for(0)
            assert (paced.through, paced.gate.spent) == ([], [])
            assert paced.handshakes.failures == {"refused": 3}

    run(scenario())


def test_those_that_wait_are_bounded_and_gone_when_the_server_is(run: Run) -> None:
    async def scenario() -> None:
        async with Paced(3) as paced:
            peers = []
            for count in range(1, 9):
                peers.append(await asyncio.open_connection("127.0.0.1", paced.port))
                await paced.wait_for(min(count, 3))
                await until(lambda: paced.handshakes.failures["crowded"] == max(0, len(peers) - 3))
            for reader, _ in peers[:5]:
                assert await reader.read() == b""
            paced.handshakes.close()
            for reader, writer in peers:
                assert await reader.read() == b""
                writer.close()
                await writer.wait_closed()
            assert len(paced.handshakes) == 0

    run(scenario())
