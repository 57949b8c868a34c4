"""Makes the compiled form of the package: a copy of its source, with an extension beside each module that has one."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from compiled import MODULES

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
TREE = ROOT / "build" / "compiled"
"""Where the copy lies: put it first in PYTHONPATH to run it."""
PACKAGE = "signalbox"
_STAMP = "made-from.txt"
"""What it was made from: a fingerprint, then the folder of the source, for `signalbox.wire.form` to compare."""
_SUFFIX = ".so"

# The same result whatever is installed beside mypy: what other packages define counts as unknown. Only the modules to
# compile are checked; `make check` has looked at all of them, knowing more.
_MYPY_CONFIG = """\
[mypy]
python_version = {0.major}.{0.minor}
mypy_path = .
explicit_package_bases = true
namespace_packages = true
no_site_packages = true
follow_imports = silent
ignore_missing_imports = true
"""
# Every function would be visible outside the library, and gcc, which then has to allow for another of its name, would
# inline none of them.
_SETUP = """\
from setuptools import setup
from mypyc.build import mypycify

modules = mypycify({arguments!r}, debug_level="0", group_name="signalbox")
for module in modules:
    module.extra_compile_args += ["-fvisibility=hidden"]
setup(
    name="compiled",
    packages=[],
    ext_modules=modules,
    script_args=["build_ext", "--inplace"],
)
"""


class NoCompiler(Exception):
    """There is nothing to compile with; the message says what is missing and what would help."""


class BuildFailed(Exception):
    """The compiler was there and did not succeed; the message has its last words."""


def check_compiler() -> None:
    """Return if C can be compiled for this Python. Raises `NoCompiler`."""
    command = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    name = shlex.split(command)[0]
    if shutil.which(name) is None:
        raise NoCompiler(f"no C compiler {name!r} is on the path: install gcc, or name another one with CC")
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.is_file():
        raise NoCompiler(f"{header} is not there: install Python's development files")


def fingerprint(source: Path = SOURCE) -> str:
    """Return what tells one state of the package's source, and of what compiles it, from another."""
    found = hashlib.sha256(repr((sys.version, MODULES, _SETUP, _MYPY_CONFIG)).encode())
    for path in sorted((source / PACKAGE).rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            found.update(f"{path.relative_to(source)}\0".encode())
            found.update(path.read_bytes())
    return found.hexdigest()


def build(tree: Path = TREE, source: Path = SOURCE) -> bool:
    """Make ``tree`` the compiled form of what is below ``source``; return whether that took any work.

    Raises:
        NoCompiler: nothing was made, and nothing is left of an earlier build.
        BuildFailed: the same, with what the compiler said.
    """
    made_from = fingerprint(source)
    stamp = tree / _STAMP
    if stamp.is_file() and stamp.read_text().partition("\n")[0] == made_from:
        return False
    shutil.rmtree(tree, ignore_errors=True)
    check_compiler()
    shutil.copytree(source / PACKAGE, tree / PACKAGE, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    work = tree / "work"
    work.mkdir()
    (work / "mypy.ini").write_text(_MYPY_CONFIG.format(sys.version_info))
    paths = [f"{PACKAGE}/{module}.py" for module in MODULES]
    arguments = [f"--config-file={work / 'mypy.ini'}", f"--cache-dir={work / 'cache'}", *paths]
    (work / "setup.py").write_text(_SETUP.format(arguments=arguments))
    run = subprocess.run(
        [sys.executable, str(work / "setup.py")],
        cwd=tree,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if run.returncode != 0 or len(extensions(tree)) != len(MODULES) + 1:
        shutil.rmtree(tree)
        raise BuildFailed(f"compiling failed with status {run.returncode}:\n{run.stdout[-4000:]}")
    for leftover in (work, tree / "build"):
        shutil.rmtree(leftover)
    stamp.write_text(f"{made_from}\n{source.resolve()}\n")
    return True


def extensions(tree: Path = TREE) -> list[Path]:
    """Return what was compiled, relative to ``tree``: one file that holds the code, and one for each module."""
    found = (path.relative_to(tree) for path in tree.rglob(f"*{_SUFFIX}"))
    return sorted(path for path in found if path.parts[0] != "build")
