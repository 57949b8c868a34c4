"""What the prefix cache costs: ``python -m signalbox.scheduling.prefix.figures`` prints the tables of
docs/prefix-cache.md.

Times are the best of several rounds on one core, in microseconds. The index is warm: every endpoint has served prompts
that begin like the one asked for, in different lengths, and others that do not.
"""

from __future__ import annotations

import itertools
import random
import timeit
import tracemalloc
from collections.abc import Callable
from functools import partial

import msgspec
from rich.console import Console
from rich.table import Table

from signalbox.payloads import Request, read_request
from signalbox.payloads.tokens import read_prompt
from signalbox.scheduling.prefix.cutting import REMEMBERED, Cutter
from signalbox.scheduling.prefix.hashing import DEFAULT_BLOCK_SIZE, Chain, PromptBlocks, hash_prompt
from signalbox.scheduling.prefix.index import DEFAULT_CAPACITY, PrefixIndex

SIZES = {"1 KB": 1_000, "10 KB": 10_000, "100 KB": 100_000, "400 KB": 400_000}
ROWS = (8, 64, 1024)

_MESSAGE = 2_000  # bytes
_ROUNDS = 7
_ALPHABET = "abcdefghijklmnopqrstuvwxyz    \n"


def microseconds(work: Callable[[], object], number: int = 20) -> float:
    """Return what one call of ``work`` takes at best."""
    return min(timeit.repeat(work, number=number, repeat=_ROUNDS)) / number * 1e6


def microseconds_once(work: Callable[[], object]) -> float:
    """Return what ``work`` takes this time."""
    return timeit.timeit(work, number=1) * 1e6


def chat(size: int, rng: random.Random) -> Request:
    """Return a conversation of about ``size`` bytes in messages of two kilobytes."""
    text = "".join(rng.choices(_ALPHABET, k=size))
    messages = [
        {"role": ("user", "assistant")[start // _MESSAGE % 2], "content": text[start : start + _MESSAGE]}
        for start in range(0, size, _MESSAGE)
    ]
    return read_request("/v1/chat/completions", msgspec.json.encode({"model": "m", "messages": messages}))


def noise(length: int, rng: random.Random) -> Chain:
    """Return a chain that shares nothing with any other."""
    return [rng.getrandbits(64) for _ in range(length)]


def warm_index(blocks: PromptBlocks, rows: int, rng: random.Random) -> PrefixIndex:
    """Return an index in which each of ``rows`` endpoints holds some beginning of ``blocks`` and unrelated prompts."""
    index = PrefixIndex(blocks.block_size)
    chain = blocks.chains[0]
    for row in range(rows):
        known = len(chain) * (row % 8) // 8
        for other in (chain[:known] + noise(20, rng), noise(100, rng)):
            index.insert(PromptBlocks((other,), 0, blocks.block_size), row)
    return index


def prompt_table(rng: random.Random) -> Table:
    """Measure what does not depend on the number of endpoints."""
    columns = ("read the body", "lay out the prompt", "hash", "cut, new", "cut, seen once", "cut, known")
    table = Table("prompt", "blocks", *columns, title="one prompt, us")
    for label, size in SIZES.items():
        request = chat(size, rng)
        prompt = read_prompt(request)
        table.add_row(
            label,
            str(hash_prompt(prompt, "m").total),
            f"{microseconds(partial(read_request, '/v1/chat/completions', request.body)):.1f}",
            f"{microseconds(partial(read_prompt, request)):.1f}",
            f"{microseconds(partial(hash_prompt, prompt, 'm')):.1f}",
            *[f"{figure:.1f}" for figure in _cutting_figures(request)],
        )
    return table


def _cutting_figures(request: Request) -> tuple[float, ...]:
    """Measure what `Cutter` takes for a prompt at the first time, at the second and from then on."""
    first, second = [], []
    for _ in range(_ROUNDS):
        cutter = Cutter()
        first.append(microseconds_once(partial(cutter.cut, request, "m")))
        second.append(microseconds_once(partial(cutter.cut, request, "m")))
    return min(first), min(second), microseconds(partial(cutter.cut, request, "m"))


def index_table(rng: random.Random) -> Table:
    """Measure look-ups and insertions over different numbers of endpoints."""
    columns = (
        "prompt",
        "endpoints",
        "look up",
        "insert, known",
        "insert, new, and give back",
        "insert, new, and evict",
    )
    table = Table(*columns, title="the index, us")
    for label, size in SIZES.items():
        blocks = hash_prompt(read_prompt(chat(size, rng)), "m")
        for rows in ROWS:
            table.add_row(label, str(rows), *[f"{figure:.1f}" for figure in _index_figures(blocks, rows, rng)])
    return table


def _index_figures(blocks: PromptBlocks, rows: int, rng: random.Random) -> tuple[float, ...]:
    index = warm_index(blocks, rows, rng)
    look_up = microseconds(lambda: index.match(blocks, rows))
    index.insert(blocks, 7)
    known = microseconds(lambda: index.insert(blocks, 7))
    first, second = (PromptBlocks((noise(blocks.total, rng),), 0, blocks.block_size) for _ in range(2))
    returned = microseconds(lambda: index.give_back(index.insert(first, 3)))
    index.set_capacity(3, blocks.total * blocks.block_size)
    taking_turns = itertools.cycle((first, second))  # there is room for one of them
    evicting = microseconds(lambda: index.insert(next(taking_turns), 3))
    return look_up, known, returned, evicting


def endpoint_table(rng: random.Random) -> Table:
    """Measure what forgetting a full endpoint takes."""
    table = Table("endpoints", "blocks of the one that leaves", "forget", title="an endpoint leaves, us")
    for rows in ROWS:
        index = warm_index(PromptBlocks((noise(100, rng),), 0, DEFAULT_BLOCK_SIZE), rows, rng)
        full = DEFAULT_CAPACITY // DEFAULT_BLOCK_SIZE
        chains = [PromptBlocks((noise(100, rng),), 0, DEFAULT_BLOCK_SIZE) for _ in range(full // 100 + 1)]
        times = timeit.repeat(partial(index.forget, 5), partial(_fill, index, 5, chains), number=1, repeat=_ROUNDS)
        table.add_row(str(rows), str(full), f"{min(times) * 1e6:.0f}")
    return table


def _fill(index: PrefixIndex, row: int, chains: list[PromptBlocks]) -> None:
    for chain in chains:
        index.insert(chain, row)


def memory_table(count: int = 250_000, length: int = 50) -> Table:
    """Measure memory: ``count`` new blocks on one endpoint, ``length`` at a time, and the same blocks on another."""
    table = Table("", "measured", "reported by the index", title="bytes a block")
    tracemalloc.start()
    index = PrefixIndex()
    for row, label in ((0, "held by one endpoint"), (1, "each further endpoint")):
        index.set_capacity(row, count * DEFAULT_BLOCK_SIZE)
        before, reported = tracemalloc.get_traced_memory()[0], index.memory_bytes
        chains = random.Random(1)
        for _ in range(count // length):
            index.insert(PromptBlocks((noise(length, chains),), 0, DEFAULT_BLOCK_SIZE), row)
        measured = tracemalloc.get_traced_memory()[0] - before
        table.add_row(label, f"{measured / count:.0f}", f"{(index.memory_bytes - reported) / count:.0f}")
    tracemalloc.stop()
    return table


def remembered_table(remembered: int = REMEMBERED) -> Table:
    """Measure the memory of a `Cutter` that has no room left."""
    table = Table("remembered", "MB", title="memory of what is known of prompts")
    rng = random.Random(1)
    request = chat(SIZES["100 KB"], rng)
    text = bytes(request.body)
    tracemalloc.start()
    cutter = Cutter(remembered)
    before = tracemalloc.get_traced_memory()[0]
    most = before
    for number in range(remembered * 10_000 // len(text)):
        other = read_request("/v1/chat/completions", text.replace(b'"content":"', b'"content":"%d' % number))
        for _ in range(2):
            cutter.cut(other, "m")
        most = max(most, tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    table.add_row(f"{remembered:,} marks and as many runs of hashes", f"{(most - before) / 1e6:.1f}")
    return table


def main() -> None:
    """Print all tables."""
    rng = random.Random(0)
    console = Console(width=120)
    for table in (prompt_table(rng), index_table(rng), endpoint_table(rng), memory_table(), remembered_table()):
        console.print(table)


if __name__ == "__main__":
    main()
