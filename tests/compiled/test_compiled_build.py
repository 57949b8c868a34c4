"""The compiled form: what is compiled, what happens without a compiler, and a package small enough to compile."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import pytest
from compiled.build import BuildFailed, NoCompiler
from typer.testing import CliRunner

from compiled import MODULES, __main__, build, hook
from signalbox.cli.main import app
from signalbox.wire import form
from signalbox.wire.form import COMPILED, changed_source

PACKAGE = build.SOURCE / build.PACKAGE
NOWHERE = "/nowhere/cc"
DOUBLE = "def twice(value: int) -> int:\n    return value + value\n"


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Source of a package with one module to compile and one that stays as it is."""
    package = tmp_path / "src" / build.PACKAGE
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "double.py").write_text(DOUBLE)
    (package / "plain.py").write_text("from signalbox.double import twice\n\nFOUR = twice(2)\n")
    monkeypatch.setattr(build, "MODULES", ("double",))
    return tmp_path / "src"


@pytest.fixture
def compiler() -> None:
    try:
        build.check_compiler()
    except NoCompiler as reason:
        pytest.skip(f"{reason}: nothing can be compiled here")


def test_each_module_that_is_compiled_exists_and_is_named_once() -> None:
    assert len(set(MODULES)) == len(MODULES)
    assert [name for name in MODULES if not (PACKAGE / f"{name}.py").is_file()] == []


@pytest.mark.parametrize("module", MODULES)
def test_no_function_catches_two_classes_of_exceptions_under_one_name(module: str) -> None:
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        caught: dict[str, set[str]] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.ExceptHandler) and node.name and node.type:
                caught.setdefault(node.name, set()).add(ast.unparse(node.type))
        assert all(len(classes) == 1 for classes in caught.values()), (
            f"{module}.{function.name}: {caught}; compiled, all of one name must be of the class that comes first"
        )


def test_the_package_knows_its_form() -> None:
    from signalbox.wire import frames

    assert COMPILED is (not str(frames.__file__).endswith(".py"))


class TestWithoutACompiler:
    @pytest.fixture(autouse=True)
    def none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CC", f"{NOWHERE} -O2")

    def test_it_says_which_is_missing_and_how_to_name_another(self) -> None:
        with pytest.raises(NoCompiler, match=rf"no C compiler '{NOWHERE}' is on the path: install gcc, or .* with CC"):
            build.check_compiler()

    def test_nothing_is_left_of_a_build_from_other_source(self, small: Path, tmp_path: Path) -> None:
        tree = tmp_path / "tree"
        (tree / build.PACKAGE).mkdir(parents=True)
        with pytest.raises(NoCompiler):
            build.build(tree, small)
        assert not tree.exists(), "what it would run is not what the source says"

    def test_the_command_says_so_with_a_status_of_its_own(
        self, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def attempt() -> bool:
            return build.build(tmp_path / "tree", small)

        monkeypatch.setattr(__main__, "build", attempt)
        assert __main__.main() == __main__.NO_COMPILER
        assert "Nothing was compiled; the package runs without" in capsys.readouterr().out

    def test_the_wheel_is_the_plain_one_and_says_why(self, small: Path) -> None:
        data = build_data()
        made = hook_for(small)
        made.initialize("standard", data)
        assert data == build_data()
        assert said(made) == [f"signalbox: {reason()}. The wheel is not compiled."]


def reason() -> str:
    with pytest.raises(NoCompiler) as raised:
        build.check_compiler()
    return str(raised.value)


def test_without_pythons_header_it_says_so_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", sys.executable)  # something that is there
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(NoCompiler, match=r"Python\.h is not there: install Python's development files"):
        build.check_compiler()


def test_the_fingerprint_is_of_the_source_and_of_nothing_that_running_it_leaves(small: Path) -> None:
    before = build.fingerprint(small)
    cache = small / build.PACKAGE / "__pycache__"
    cache.mkdir()
    (cache / "double.cpython-311.pyc").write_bytes(b"...")
    assert build.fingerprint(small) == before
    (small / build.PACKAGE / "double.py").write_text(DOUBLE + "\n")
    assert build.fingerprint(small) != before


class TestACopyOfOtherSource:
    @pytest.fixture
    def copy(self, small: Path, tmp_path: Path) -> Path:
        """A package as `make compiled` leaves it, but for the machine code in the extension."""
        package = tmp_path / "tree" / build.PACKAGE
        shutil.copytree(small / build.PACKAGE, package)
        (package / "double.cpython-311.so").touch()
        (tmp_path / "tree" / "made-from.txt").write_text(f"{build.fingerprint(small)}\n{small}\n")
        return package

    def test_is_not_one_while_nothing_has_changed(self, copy: Path, small: Path) -> None:
        (small / build.PACKAGE / "__pycache__").mkdir()
        (small / build.PACKAGE / "__pycache__" / "double.cpython-311.pyc").write_bytes(b"...")
        assert changed_source(copy) is None

    @pytest.mark.parametrize("change", ["edited", "new", "gone"])
    def test_is_known_for_what_it_is(self, copy: Path, small: Path, change: str) -> None:
        if change == "gone":
            (small / build.PACKAGE / "plain.py").unlink()
        else:
            (small / build.PACKAGE / ("new.py" if change == "new" else "double.py")).write_text("x = 1\n")
        assert changed_source(copy) == small

    def test_is_not_looked_for_where_there_is_nothing_to_compare(self, copy: Path, small: Path) -> None:
        assert changed_source(small / build.PACKAGE) is None, "the source itself, and a wheel: no stamp"
        shutil.rmtree(small)
        assert changed_source(copy) is None, "the source is gone"

    def test_every_command_says_so(self, copy: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(form, "changed_source", lambda: small)
        said = f"this is a compiled copy of what {small} held; that has changed since: run `make compiled`"
        for words in (["--version"], ["crds"]):
            result = CliRunner().invoke(app, words)
            assert result.exit_code == 0
            assert said in result.stderr
            assert said not in result.stdout


@pytest.mark.usefixtures("compiler")
class TestWithACompiler:
    def test_what_is_made_runs_first_and_is_made_again_only_for_other_source(self, small: Path, tmp_path: Path) -> None:
        tree = tmp_path / "tree"
        assert build.build(tree, small) is True
        assert build.build(tree, small) is False
        script = "from signalbox import double, plain; print(double.__file__, plain.__file__, plain.FOUR)"
        run = subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONPATH": str(tree)}, capture_output=True, text=True, check=True
        )
        native, plain, four = run.stdout.split()
        assert native.startswith(str(tree)) and native.endswith(".so")  # noqa: PT018 - one fact
        assert (plain, four) == (str(tree / build.PACKAGE / "plain.py"), "4")
        assert changed_source(tree / build.PACKAGE) is None
        (small / build.PACKAGE / "plain.py").write_text("")
        assert changed_source(tree / build.PACKAGE) == small
        assert build.build(tree, small) is True
        assert changed_source(tree / build.PACKAGE) is None

    def test_what_does_not_compile_leaves_nothing_and_says_where(self, small: Path, tmp_path: Path) -> None:
        (small / build.PACKAGE / "double.py").write_text('def twice(value: int) -> int:\n    return "no"\n')
        with pytest.raises(BuildFailed, match=r"signalbox/double\.py:2: error: Incompatible return value type"):
            build.build(tmp_path / "tree", small)
        assert not (tmp_path / "tree").exists()

    def test_the_wheel_is_of_one_platform_and_holds_the_extensions(self, small: Path, tmp_path: Path) -> None:
        data = build_data()
        made = hook_for(small)
        made.initialize("standard", data)
        assert (data["pure_python"], data["infer_tag"]) == (False, True)
        places = data["force_include"]
        assert sorted(Path(place).name.partition(".")[0] for place in places.values()) == ["double", "signalbox__mypyc"]
        assert all(Path(file).is_file() for file in places)
        made.finalize("standard", data, "")
        assert not any(Path(file).exists() for file in places), "the wheel has them by now"

    def test_pip_makes_such_a_wheel_of_a_project_that_asks_for_it(self, small: Path, tmp_path: Path) -> None:
        project = small.parent
        (project / "pyproject.toml").write_text(
            '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
            '[project]\nname = "signalbox"\nversion = "1"\n'
            '[tool.hatch.build.targets.wheel]\npackages = ["src/signalbox"]\n'
            '[tool.hatch.build.targets.wheel.hooks.custom]\npath = "compiled/hook.py"\nenable-by-default = false\n'
        )
        (project / "compiled").mkdir()
        for file in ("build.py", "hook.py"):
            (project / "compiled" / file).write_text((build.ROOT / "compiled" / file).read_text())
        (project / "compiled" / "__init__.py").write_text('MODULES = ("double",)\n')
        for enabled, names in (("false", 0), ("true", 2)):
            wheels = tmp_path / enabled
            command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
            subprocess.run(
                [*command, "--disable-pip-version-check", "--wheel-dir", str(wheels), str(project)],
                env={"HATCH_BUILD_HOOK_ENABLE_CUSTOM": enabled, "PATH": "/usr/bin:/bin"},
                capture_output=True,
                check=True,
            )
            (wheel,) = wheels.iterdir()
            assert sum(name.endswith(".so") for name in zipfile.ZipFile(wheel).namelist()) == names


def test_an_editable_install_is_not_compiled_and_says_so(small: Path) -> None:
    data = build_data()
    made = hook_for(small)
    made.initialize("editable", data)
    assert data == build_data()
    assert said(made) == ["signalbox: an editable install is not compiled; see `make compiled`"]


class App:
    """Stands for hatchling's, which prints."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def display_warning(self, text: str) -> None:
        self.warnings.append(text)


def hook_for(source: Path) -> hook.CompiledHook:
    app: Any = App()
    nothing: Any = None
    return hook.CompiledHook(str(source.parent), {}, nothing, nothing, str(source.parent / "dist"), "wheel", app)


def said(made: hook.CompiledHook) -> list[str]:
    app: Any = made.app
    warnings: list[str] = app.warnings
    return warnings


def build_data() -> dict[str, Any]:
    return {"pure_python": True, "infer_tag": False, "force_include": {}}
