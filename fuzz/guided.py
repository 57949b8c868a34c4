"""The same targets under atheris, which keeps what reaches code that nothing reached before and changes it further.

``python -m fuzz.guided TARGET RUNS FOLDER``; `make fuzz ENGINE=atheris` runs it for each target. It starts from what
the generators make. What is found is saved, cut down and replayed like what they find.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from pathlib import Path
from random import Random

MISSING = (
    "atheris is not installed: `pip install atheris` (a dependency of nothing else; wheels are for Linux on x86-64)"
)
_SEEDS = 200
_SHORTEST = {"transport": 1, "exchange": 2}
"""Bytes that each input of a target has at least: those that say what to do with the rest."""


def pack(inputs: list[bytes]) -> bytes:
    """Write the inputs of an episode one behind the other, each led by its length in two bytes; longer ones are cut."""
    return b"".join(min(len(step), 0xFFFF).to_bytes(2, "big") + step[:0xFFFF] for step in inputs)


def unpack(data: bytes, shortest: int) -> list[bytes]:
    """Read any bytes as the inputs of an episode; those of fewer than ``shortest`` bytes are left out."""
    inputs = []
    at = 0
    while at + 2 <= len(data):
        size = int.from_bytes(data[at : at + 2], "big")
        inputs.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return [step for step in inputs if len(step) >= shortest]


def main() -> None:
    """Fuzz one target; ends the process, with 77 after a failure."""
    import atheris

    name, runs, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    with atheris.instrument_imports(include=["signalbox.wire", "signalbox.extproc", "signalbox.payloads", "hpack"]):
        from fuzz.runner import TARGETS, Failure, save

    target, shortest = TARGETS[name], _SHORTEST.get(name, 0)
    logging.disable(logging.CRITICAL)  # as in `fuzz.__main__`
    corpus = folder / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number in range(_SEEDS):
        (corpus / f"seed-{number}").write_bytes(pack(target.generate(Random(f"guided/{name}/{number}"))))

    def play(data: bytes) -> None:
        inputs = unpack(data, shortest)
        try:
            target.run(inputs, Counter())
        except Exception as error:
            path = save(Failure(name, "guided", hash(data) & 0xFFFF, inputs), folder)
            print(f"fuzz: FAILED, {error!r}; saved, repeat with `python -m fuzz --replay {path}`", flush=True)
            raise

    options = [f"-runs={runs}", "-max_len=65536", f"-artifact_prefix={folder}/", "-print_final_stats=1", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], play)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
