"""The rollout configuration: which adapters a model server has to serve, and which it must not."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

ROOT = "vLLMLoRAConfig"
_Location = tuple[str | int, ...]


class Adapter(BaseModel):
    """One LoRA adapter: ``id`` is the name requests use, ``source`` a path on the server or a hub id."""

    model_config = ConfigDict(frozen=True, strict=True)

    id: str = Field(min_length=1)
    source: str = Field(min_length=1)
    base_model: str = Field("", alias="base-model")


class AdapterList(BaseModel):
    """The adapters under ``ensureExist`` or ``ensureNotExist``."""

    model_config = ConfigDict(frozen=True, strict=True)

    models: list[Adapter]


class SyncConfig(BaseModel):
    """Everything under ``vLLMLoRAConfig``."""

    model_config = ConfigDict(frozen=True, strict=True)

    host: str = Field("localhost", min_length=1)
    port: int = Field(8000, ge=1, le=65535)
    name: str = ""
    default_base_model: str = Field("", alias="defaultBaseModel")
    ensure_exist: AdapterList = Field(AdapterList(models=[]), alias="ensureExist")
    ensure_not_exist: AdapterList = Field(AdapterList(models=[]), alias="ensureNotExist")

    @property
    def server(self) -> str:
        """``host:port`` of the model server, with brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class InvalidConfig(Exception):
    """A configuration that cannot be used; each of ``problems`` names the file, the field and the fix."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Parsed:
    """A configuration and what is odd about its text."""

    config: SyncConfig
    warnings: tuple[str, ...]


def parse_config(text: str, file: str, validate: bool = True) -> Parsed:
    """Read a configuration from YAML.

    With ``validate`` a wrong entry refuses the whole text; without it, the entry is left out, a warning says so, and
    the rest is used. ``file`` is what messages call the text. An empty list may be written as nothing at all.
    Raises ``InvalidConfig``.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidConfig([f"{file}: not YAML: {' '.join(str(error).split())}; correct the line named"]) from None
    if not isinstance(document, dict) or ROOT not in document:
        raise InvalidConfig([f"{file}: {ROOT}: missing; put the configuration under this key"])
    if not isinstance(document[ROOT], dict):
        raise InvalidConfig([f"{file}: {ROOT}: {_kind(document[ROOT])} where a mapping is needed; indent its keys"])
    warnings = [f"{file}: {warning}" for warning in _normalise(document)]
    while True:
        try:
            config, wrong = SyncConfig.model_validate(document[ROOT]), []
        except ValidationError as error:
            wrong = [((ROOT, *found["loc"]), *_explain(found)) for found in error.errors()]
        else:
            wrong = list(_contradictions(config))
            if not wrong:
                return Parsed(config, tuple(warnings))
        problems = [f"{file}: {_path(location)}: {what}; {fix}" for location, what, fix in wrong]
        if validate:
            raise InvalidConfig(problems)
        warnings += [f"{problem}; left out, as validation is off" for problem in problems]
        # From the end of a list, so that the indices before stay right.
        for location in sorted({_entry(location) for location, _, _ in wrong}, key=_index, reverse=True):
            _remove(document, location)


def _normalise(document: dict[str, Any]) -> Iterator[str]:
    """Bring the accepted spellings into one; yield a warning for each oddity that is let through."""
    root = document[ROOT]
    yield from _unknown((), document, {ROOT})
    yield from _unknown((ROOT,), root, {field.alias or name for name, field in SyncConfig.model_fields.items()})
    for block_name in ("ensureExist", "ensureNotExist"):
        if block_name not in root:
            continue
        if root[block_name] is None:
            root[block_name] = {"models": []}
        block = root[block_name]
        if not isinstance(block, dict):
            continue
        yield from _unknown((ROOT, block_name), block, {"models"})
        if "models" in block and block["models"] is None:
            block["models"] = []
        if not isinstance(block.get("models"), list):
            continue
        for index, item in enumerate(block["models"]):
            location = (ROOT, block_name, "models", index)
            if not isinstance(item, dict):
                continue
            if "base_model" in item:
                alias = item.pop("base_model")
                item.setdefault("base-model", alias)
                yield f"{_path((*location, 'base_model'))}: read as base-model; write base-model"
            yield from _unknown(location, item, {"id", "source", "base-model"})


def _unknown(location: _Location, mapping: dict[Any, Any], known: set[str]) -> Iterator[str]:
    for key in mapping:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            fix = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(known))}"
            yield f"{_path((*location, str(key)))}: unknown, ignored; {fix}"


def _contradictions(config: SyncConfig) -> Iterator[tuple[_Location, str, str]]:
    """Ids that one list holds twice with different contents."""
    for block_name, block in (("ensureExist", config.ensure_exist), ("ensureNotExist", config.ensure_not_exist)):
        first: dict[str, Adapter] = {}
        for index, adapter in enumerate(block.models):
            known = first.setdefault(adapter.id, adapter)
            if known != adapter:
                differs = "source" if known.source != adapter.source else "base-model"
                yield (
                    (ROOT, block_name, "models", index, "id"),
                    f"{adapter.id!r} is listed before with another {differs}",
                    "keep one of the two",
                )


_FIXES = {
    "id": "give the name requests use for the adapter",
    "source": "give the adapter's path or hub id",
    "base-model": "give the base model's name, or leave it out",
    "models": "give a list of adapters, each with id and source",
    "host": "give the model server's host name or address",
    "port": "give a port from 1 to 65535, without quotes",
}
_NEEDED = {"int": "a whole number", "string": "text", "list": "a list", "model": "a mapping", "dict": "a mapping"}


def _explain(error: Any) -> tuple[str, str]:
    """What is wrong, and the fix, of one of pydantic's errors."""
    field = error["loc"][-1]
    fix = _FIXES.get(field, "correct it, or leave it out") if isinstance(field, str) else "give id and source"
    kind = error["type"]
    if kind == "missing":
        return "missing", fix
    if kind == "string_too_short":
        return "empty", fix
    needed = _NEEDED.get(kind.partition("_")[0])
    if kind.endswith("_type") and needed:
        if needed == "text" and isinstance(error["input"], int | float):
            fix = "put it in quotes"
        return f"{_kind(error['input'])} where {needed} is needed", fix
    return f"{error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}", fix


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    names: list[tuple[type, str]] = [(bool, "true or false"), (int, "a number"), (float, "a number"), (str, "text")]
    names += [(list, "a list"), (dict, "a mapping")]
    return next((name for kind, name in names if isinstance(value, kind)), f"a {type(value).__name__}")


def _path(location: _Location) -> str:
    """``vLLMLoRAConfig.ensureExist.models[1].source``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


def _entry(location: _Location) -> _Location:
    """The smallest thing that can be left out: the list item a field is in, else the field."""
    return next((location[: at + 1] for at, part in enumerate(location) if isinstance(part, int)), location[:2])


def _index(location: _Location) -> int:
    return location[-1] if isinstance(location[-1], int) else -1


def _remove(document: dict[str, Any], location: _Location) -> None:
    holder: Any = document
    for part in location[:-1]:
        holder = holder[part]
    del holder[location[-1]]
