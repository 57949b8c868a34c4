"""The two forms of the picker: as its source says, or with the modules that every message passes compiled."""

from __future__ import annotations

import sys
from pathlib import Path

from compiled.build import TREE, BuildFailed, NoCompiler, build

from signalbox.wire.form import COMPILED

FORM = "compiled" if COMPILED else "interpreted"
"""What this interpreter runs, and every process that is started like it."""


def compiled_tree() -> Path | None:
    """Return what to put first in PYTHONPATH for the compiled form, made anew where the source has changed.

    ``None``, and why on standard error, where there is none to compare: without a compiler, and where this is it.
    """
    if COMPILED:
        return None
    try:
        build()
    except (NoCompiler, BuildFailed) as reason:
        print(f"bench: no row for the compiled picker: {reason}", file=sys.stderr, flush=True)
        return None
    return TREE
