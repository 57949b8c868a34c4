"""Files written all together or not at all."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

YAML_SUFFIXES = frozenset({".yaml", ".yml"})


class Unwritable(Exception):
    """The output cannot be written; nothing was. The text says why and what to do."""


def write_files(output: Path, texts: Sequence[tuple[str, Path, str]], inputs: Collection[Path] = ()) -> None:
    """Write texts, each with the place it came from and its name below a directory; never over one of ``inputs``.

    ``output`` is a file if its name ends in ``.yaml`` or ``.yml`` and it is no directory; it then gets all texts as
    documents. Otherwise it is a directory and is made if need be. Raises Unwritable.
    """
    if output.suffix in YAML_SUFFIXES and not output.is_dir():
        _keep(inputs, [output])
        _replace({output: "---\n".join(text for _, _, text in texts)})
        return
    if output.is_file() or output.suffix == ".json":
        raise Unwritable(f"--output {output}: is not a YAML file; name a directory or a file that ends in .yaml")
    contents: dict[Path, str] = {}
    origins: dict[Path, str] = {}
    for origin, name, text in texts:
        target = output / name
        if target in contents:
            raise Unwritable(f"{origin} and {origins[target]} would both become {target}; convert them one by one")
        contents[target], origins[target] = text, origin
    _keep(inputs, contents)
    _replace(contents)


def _keep(inputs: Collection[Path], targets: Iterable[Path]) -> None:
    kept = {os.path.realpath(path) for path in inputs}
    for target in targets:
        if os.path.realpath(target) in kept:
            raise Unwritable(f"{target}: is one of the inputs; choose another --output, or add --force to replace it")


def _replace(contents: dict[Path, str]) -> None:
    """Put every text beside its target first; once all are there, move them into place."""
    written: dict[Path, Path] = {}
    try:
        for target, text in contents.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_dir():
                raise IsADirectoryError(None, "is a directory")
            draft = target.with_name(f".{target.name}.{os.getpid()}.part")
            written[draft] = target
            draft.write_text(text, "utf-8")
        for draft, target in written.items():
            os.replace(draft, target)
    except OSError as error:
        raise Unwritable(f"{target}: cannot be written: {error.strerror or error}; choose another --output") from error
    finally:
        for draft in written:
            draft.unlink(missing_ok=True)
