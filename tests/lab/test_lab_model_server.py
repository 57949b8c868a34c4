"""Virtual time against the simulated model server: the same requests, over HTTP and in a replay.

The server's clock is the test's own. It stands still while requests arrive, so that they all come at the moment the
trace says, and then moves on; how fast this machine is makes no difference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from signalbox.lab import Server, TraceRequest, Workload, replay
from signalbox.lab.policies import POLICIES
from signalbox.lab.workload import chain
from signalbox.modelserver import ModelServer, parse_options

BLOCK = 512
# When, whose beginning of 512 tokens, length of the prompt, length of the answer.
SCENARIO = [
    *((0.0, group, 700 + 90 * number, 40 + number) for number, group in enumerate((1, 2, 1, 2, 3, 4))),
    *((0.25, group, 1500 - 100 * number, 30) for number, group in enumerate((1, 2, 5, 6))),
    *((0.9, group, 2600, 25) for group in (7, 8)),
    *((2.0, group, 560 + number, 20) for number, group in enumerate((3, 4, 9, 9))),
]


def tokens(number: int, group: int, length: int) -> list[int]:
    """Token ids of a prompt: the first 512 are the group's, the others its own."""
    return [*range(group * 1000, group * 1000 + BLOCK), *range(100_000 + number * 5000, 105_000 + number * 5000)][
        :length
    ]


class Clock:
    """Time as the test says."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def until(condition: Callable[[], bool], clock: Clock | None = None) -> None:
    """Turn the loop until a condition holds, letting time pass by steps of a millisecond where there is a clock."""
    async with asyncio.timeout(60):
        while not condition():
            if clock is not None:
                clock.now += 0.001
            await asyncio.sleep(0)


async def served(options: list[str]) -> Mapping[str, tuple[float, float]]:
    """Send the scenario to two servers in turn; (sum, count) of each of their histograms, added up."""
    clock = Clock()
    servers = [ModelServer(parse_options(["--model", "m", *options]), clock=clock) for _ in range(2)]
    totals: dict[str, tuple[float, float]] = {}
    async with aiohttp.ClientSession() as session:
        ports = [await server.start("127.0.0.1", 0) for server in servers]
        pending = []
        for number, (at, group, prompt, output) in enumerate(SCENARIO):
            await until(partial(_reached, clock, at), clock)
            clock.now = at
            body = {"prompt": tokens(number, group, prompt), "max_tokens": output, "ignore_eos": True}
            url = f"http://127.0.0.1:{ports[number % 2]}/v1/completions"
            pending.append(asyncio.create_task(_post(session, url, body)))
            await until(partial(_arrived, servers, number + 1))  # time stands still
        await until(lambda: all(task.done() for task in pending), clock)
        for port in ports:
            async with session.get(f"http://127.0.0.1:{port}/metrics") as response:
                for family in text_string_to_metric_families(await response.text()):
                    values = {sample.name.rpartition("_")[2]: sample.value for sample in family.samples}
                    if family.type == "histogram":
                        total, count = totals.get(family.name, (0.0, 0.0))
                        totals[family.name] = (total + values["sum"], count + values["count"])
                    elif family.type == "counter" and "total" in values:
                        total, _ = totals.get(family.name, (0.0, 0.0))
                        totals[family.name] = (total + values["total"], 0.0)
    for server in servers:
        await server.close()
    return totals


def _reached(clock: Clock, at: float) -> bool:
    return clock.now >= at


def _arrived(servers: list[ModelServer], count: int) -> bool:
    """Whether the engines have been given so many requests."""
    return sum(server.driver.engine._order for server in servers) >= count


async def _post(session: aiohttp.ClientSession, url: str, body: object) -> None:
    async with session.post(url, json=body) as response:
        assert response.status == 200
        await response.read()


async def test_a_replay_agrees_with_the_simulated_server() -> None:
    options = ["--max-num-seqs", "4", "--max-num-batched-tokens", "512"]
    real = await served(options)
    parsed = parse_options(["--model", "m", *options])
    requests = tuple(TraceRequest(at, prompt, output, chain([group])) for at, group, prompt, output in SCENARIO)
    server = Server(parsed.profile, parsed.engine)
    outcome = replay(Workload("scenario", requests, BLOCK), [server, server], POLICIES["round-robin"])
    count = len(SCENARIO)
    ttft, answered = real["vllm:time_to_first_token_seconds"]
    assert answered == count
    assert outcome.ttft.mean() == pytest.approx(ttft / count, rel=0.1)
    assert outcome.e2e.mean() == pytest.approx(real["vllm:e2e_request_latency_seconds"][0] / count, rel=0.1)
    assert outcome.queue.mean() == pytest.approx(real["vllm:request_queue_time_seconds"][0] / count, rel=0.1)
    assert outcome.cached.sum() == real["vllm:prefix_cache_hits"][0]
    assert outcome.output.sum() == real["vllm:generation_tokens"][0]
    assert outcome.ttft.mean() > 0.2  # they did wait for each other
    assert outcome.cached.sum() >= 4 * BLOCK
