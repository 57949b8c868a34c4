"""Puts the compiled modules into a wheel: ``HATCH_BUILD_HOOK_ENABLE_CUSTOM=true pip wheel .``"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# The front end loads this file by its path, from wherever it unpacked the source.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from compiled.build import NoCompiler, build, extensions


class CompiledHook(BuildHookInterface):  # type: ignore[type-arg]
    """Compiles where it can; without a compiler it says so and the wheel is the one it would be without this."""

    _tree: Path | None = None

    def dependencies(self) -> list[str]:
        """What pip installs into the environment it builds in."""
        return ["mypy==2.4.1", "setuptools"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the extensions to the wheel. One that points at the source (``pip install -e``) gets none."""
        if version == "editable":
            self.app.display_warning("signalbox: an editable install is not compiled; see `make compiled`")
            return
        tree = Path(tempfile.mkdtemp(prefix="signalbox-compiled-"))
        self._tree = tree
        try:
            build(tree, Path(self.root) / "src")
        except NoCompiler as reason:
            self.app.display_warning(f"signalbox: {reason}. The wheel is not compiled.")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for path in extensions(tree):
            build_data["force_include"][str(tree / path)] = str(path)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """The wheel is written: what it was made from may go."""
        if self._tree is not None:
            shutil.rmtree(self._tree, ignore_errors=True)
