"""``python -m compiled``: make the compiled form below ``build/compiled``, if that is not there yet.

Exits with 3, and says why, where there is no compiler; with 1 where compiling fails.
"""

from __future__ import annotations

import sys

from compiled.build import ROOT, TREE, BuildFailed, NoCompiler, build

NO_COMPILER = 3


def main() -> int:
    """Build and say what came of it."""
    try:
        worked = build()
    except NoCompiler as reason:
        print(f"compiled: {reason}. Nothing was compiled; the package runs without, at more CPU a request.")
        return NO_COMPILER
    except BuildFailed as reason:
        print(f"compiled: {reason}", file=sys.stderr)
        return 1
    said = "is new" if worked else "is up to date"
    print(f"compiled: {TREE.relative_to(ROOT)} {said}; run it with PYTHONPATH={TREE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
