"""What precise prefixes cost: ``python -m bench.precise`` prints the tables of docs/precise-prefix.md.

Times are the best of several rounds on one core, in microseconds. Endpoints hold the prompt asked for in different
lengths, 64 of them at most where it is long. The token service is a simulated server in this process, so its own work
counts as well.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import tracemalloc
from array import array
from collections.abc import Callable
from functools import partial

import msgspec
from rich.console import Console
from rich.table import Table

from signalbox.director import Arrival, Asking
from signalbox.director.asking import question
from signalbox.modelserver import ModelServer, parse_options
from signalbox.payloads import read_request
from signalbox.scheduling.prefix.figures import microseconds
from signalbox.scheduling.prefix.hashing import Chain
from signalbox.scheduling.prefix.precise import PreciseIndex
from signalbox.scheduling.prefix.precise_events import Removed, Stored
from signalbox.scheduling.prefix.precise_keys import prompt_keys
from signalbox.scheduling.prefix.recent import Recent
from signalbox.scheduling.prefix.token_source import RENDER, TokenSource
from signalbox.signals.kv_events.decoding import decode_events
from signalbox.signals.tokens import TokenClient

LENGTHS = (256, 2_500, 25_000, 100_000)
"""Tokens of a prompt: 1, 10, 100 and 400 KB of text."""
ROWS = (8, 64, 1024)
BLOCK = 16

_BLOCKS = 512


def ids(count: int, rng: random.Random) -> bytes:
    """Return random token ids."""
    return array("I", [rng.randrange(128_000) for _ in range(count)]).tobytes()


def report(tokens: bytes, seed: int) -> Stored:
    """Return the event of an engine that stores a prompt."""
    rng = random.Random(seed)
    return Stored([rng.getrandbits(64) for _ in range(len(tokens) // 4 // BLOCK)], None, tokens, BLOCK)


def lookup_table(rng: random.Random) -> Table:
    """Measure look-ups, as a prompt and an endpoint that holds it in part are added."""
    table = Table("prompt, tokens", "endpoints", "name its blocks", "again", "look up", title="one prompt, us")
    for length in LENGTHS:
        tokens = ids(length, rng)
        for rows in ROWS:
            index = PreciseIndex(BLOCK)
            for row in range(rows):
                part = tokens[: length * (row % 8 + 1) // 8 // BLOCK * BLOCK * 4]
                if row < 64 or length <= 2_500:
                    index.apply(row, report(part, row))
            known: Recent[Chain] = Recent(8192)
            chain = prompt_keys(tokens, "", BLOCK, 10**6, None, known)
            fresh = microseconds(partial(prompt_keys, tokens, "", BLOCK, 10**6), 5)
            again = microseconds(partial(prompt_keys, tokens, "", BLOCK, 10**6, None, known), 5)
            table.add_row(
                f"{length:,}",
                str(rows),
                f"{fresh:.0f}",
                f"{again:.0f}",
                f"{microseconds(partial(index.match, chain, rows), 5):.0f}",
            )
    return table


def event_table(rng: random.Random) -> Table:
    """Measure events: reading a message and taking it in, by the block."""
    table = Table("what", "us a block", title=f"events of {_BLOCKS} blocks of {BLOCK} tokens")
    tokens = ids(_BLOCKS * BLOCK, rng)
    event = report(tokens, 1)
    stored = msgspec.msgpack.encode(
        [
            1.0,
            [{"type": "BlockStored", "block_hashes": list(event.hashes), "parent_block_hash": None,
              "token_ids": list(array("I", tokens)), "block_size": BLOCK, "medium": "GPU"}],
        ]
    )  # fmt: skip
    index = PreciseIndex(BLOCK)
    removed = Removed(event.hashes)

    def once(first: Callable[[], object], second: Callable[[], object]) -> tuple[float, float]:
        best = [1e9, 1e9]
        for _ in range(50):
            for place, work in enumerate((first, second)):
                begun = time.perf_counter()
                work()
                best[place] = min(best[place], time.perf_counter() - begun)
        return best[0] * 1e6 / _BLOCKS, best[1] * 1e6 / _BLOCKS

    storing, removing = once(partial(index.apply, 0, event), partial(index.apply, 0, removed))
    table.add_row("read a message", f"{microseconds(partial(decode_events, stored)) / _BLOCKS:.2f}")
    table.add_row("store", f"{storing:.2f}")
    table.add_row("remove", f"{removing:.2f}")
    return table


def memory_table(rng: random.Random, count: int = 200_000) -> Table:
    """Measure memory: prompts of 50 blocks on one endpoint, and the same on one whose engine names them otherwise."""
    table = Table("", "measured", "reported", title="bytes a block")
    prompts = [ids(50 * BLOCK, rng) for _ in range(count // 50)]
    tracemalloc.start()
    index = PreciseIndex(BLOCK)
    for row, label in ((0, "held by one endpoint"), (1, "each further endpoint")):
        before, reported = tracemalloc.get_traced_memory()[0], index.memory_bytes
        for number, tokens in enumerate(prompts):
            index.apply(row, report(tokens, 2 * number + row))
        measured = tracemalloc.get_traced_memory()[0] - before
        table.add_row(label, f"{measured / count:.0f}", f"{(index.memory_bytes - reported) / count:.0f}")
    tracemalloc.stop()
    return table


def asking(port: int, prompt: str) -> Asking:
    """Return the question for a completion's prompt."""
    body = json.dumps({"model": "m", "prompt": prompt}).encode()
    source = TokenSource(RENDER, "m", f"http://127.0.0.1:{port}")
    found = question(Arrival("/v1/completions", body), read_request("/v1/completions", body), source, 0.0)
    assert found is not None
    return found


async def question_table(rng: random.Random) -> Table:
    """Measure questions for token ids: the wait for an answer, and an answer that is remembered."""
    table = Table("prompt", "build the question", "ask", "remembered", title="token ids, us")
    server = ModelServer(parse_options(["--model", "m"]))
    port = await server.start("127.0.0.1", 0)
    client = TokenClient(lambda: ())
    for size in (1_000, 10_000, 100_000):
        text = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz     ", k=size))
        waits = []
        for number in range(20):
            pending = asking(port, f"{number} {text}")
            begun = time.perf_counter()
            assert await client.ask(pending) is not None
            waits.append(time.perf_counter() - begun)
        body = json.dumps({"model": "m", "prompt": text}).encode()
        request = read_request("/v1/completions", body)
        source = TokenSource(RENDER, "m", f"http://127.0.0.1:{port}")
        build = microseconds(partial(question, Arrival("/v1/completions", body), request, source, 0.0))
        known = microseconds(partial(client.remembered, pending))
        table.add_row(f"{size // 1000} KB", f"{build:.0f}", f"{min(waits) * 1e6:.0f}", f"{known:.0f}")
    client.close()
    await server.close()
    return table


def main() -> None:
    """Print all tables."""
    rng = random.Random(0)
    console = Console(width=120)
    for table in (lookup_table(rng), event_table(rng), memory_table(rng), asyncio.run(question_table(rng))):
        console.print(table)


if __name__ == "__main__":
    main()
