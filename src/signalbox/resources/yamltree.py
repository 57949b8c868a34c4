"""YAML and JSON text into plain values, with the line of every field.

Values are read as Kubernetes reads them: keys are strings, times stay text, a key given twice is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

MAX_DEPTH = 100
"""How deep values may nest. Kubernetes objects stay below 30; the C parser cannot bear 100,000."""

MAX_EXPANDED = 1_000_000
"""How many values a document may have once its aliases are written out."""

_SHOWN = 60  # characters of a value that a message repeats

Path = tuple[str | int, ...]


class YAMLFault(Exception):
    """Text that cannot be read: ``message`` and ``fix``, with ``document`` and ``line`` counted from 1."""

    def __init__(self, document: int, line: int, message: str, fix: str) -> None:
        super().__init__(f"line {line}: {message}; {fix}")
        self.document = document
        self.line = line
        self.message = message
        self.fix = fix


@dataclass(frozen=True, slots=True)
class YAMLDocument:
    """One document: its place in the text, its content, and the tree that knows the lines."""

    number: int
    content: Any
    node: yaml.Node | None

    def line(self, path: Path = ()) -> int:
        """Return the line, from 1, of the deepest part of ``path`` that the document has."""
        return 1 if self.node is None else _line(self.node, path)


class _Loader(yaml.CSafeLoader):
    """The safe loader, with the plain values Kubernetes knows: no times, no base-60 numbers, ``1e3`` a number."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", "yYnNtTfFoO"),
    ("int", r"[-+]?(0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)", "-+0123456789"),
    (
        "float",
        r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), list(_first))

PLAIN_SCALARS: dict[str, list[tuple[str, re.Pattern[str]]]] = _Loader.yaml_implicit_resolvers
"""By first character: the tags of plain values that are no text, and what those look like."""


def read_yaml(text: str) -> Iterator[YAMLDocument]:
    """Yield the documents of a YAML text, also the empty ones, whose content is None. Raises YAMLFault."""
    _check_syntax(text)
    loader = _Loader(text)
    number = 0
    try:
        while loader.check_node():
            number += 1
            node = loader.get_node()
            if node is None:
                break
            yield YAMLDocument(number, _Builder(loader, number).build(node), node)
    except yaml.MarkedYAMLError as error:
        raise _fault(error, max(number, 1)) from None
    finally:
        loader.dispose()


def read_json(text: str) -> YAMLDocument:
    """Return the one document of a JSON text. Raises YAMLFault."""
    try:
        content = json.loads(text, object_pairs_hook=_unique_pairs, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise YAMLFault(1, error.lineno, f"is not valid JSON: {error.msg}", "correct the JSON there") from None
    except RecursionError:
        raise _too_deep(1, 1) from None
    except _TooLarge as large:
        line = text[: text.find(large.digits)].count("\n") + 1
        raise YAMLFault(1, line, f"{_short(large.digits)} cannot be read", "write it in quotes") from None
    except _RepeatedKey as repeated:
        line = next((n for n, row in enumerate(text.splitlines(), 1) if row.count(json.dumps(repeated.key)) > 1), 1)
        raise YAMLFault(1, line, f"the key {repeated.key!r} is given twice", "remove one of the two") from None
    try:
        # In JSON a tab can only stand between values, where YAML wants spaces.
        node = next(read_yaml(text.replace("\t", " "))).node
    except _TooDeep:
        raise
    except YAMLFault:
        node = None  # JSON that YAML reads otherwise, as with surrogate pairs: the content is known, the lines are not
    return YAMLDocument(1, content, node)


class _TooDeep(YAMLFault):
    pass


class _RepeatedKey(ValueError):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class _TooLarge(ValueError):
    def __init__(self, digits: str) -> None:
        super().__init__(digits)
        self.digits = digits


def _integer(digits: str) -> int:
    """Return an integer of a JSON text. Raises `_TooLarge` for one that no float holds."""
    try:
        value = int(digits)
        float(value)
    except (ValueError, OverflowError):
        raise _TooLarge(digits) from None
    return value


def _short(text: str) -> str:
    return repr(text) if len(text) <= _SHOWN else f"{text[: _SHOWN - 3] + '...'!r}"


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise _RepeatedKey(next(name for name in names if names.count(name) > 1))
    return content


def _check_syntax(text: str) -> None:
    """Run the parser once without building anything: errors then know their document, and depth is bounded."""
    document, depth = 0, 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.DocumentStartEvent):
                document += 1
            elif isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    raise _too_deep(document, _row(event.start_mark))
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except yaml.MarkedYAMLError as error:
        raise _fault(error, max(document, 1)) from None
    except yaml.reader.ReaderError as error:
        before = text.encode()[: error.position].count(b"\n")
        message, fix = f"holds the control character {error.character:#04x}", "remove it, or escape it in quotes"
        raise YAMLFault(max(document, 1), before + 1, message, fix) from None


def _too_deep(document: int, line: int) -> _TooDeep:
    return _TooDeep(document, line, f"values nest more than {MAX_DEPTH} deep", "flatten them")


def _fault(error: yaml.MarkedYAMLError, document: int) -> YAMLFault:
    problem = error.problem or "something is wrong"
    mark = error.problem_mark
    fix = "check the indentation and the punctuation there and on the line before"
    if "cannot start any token" in problem:
        fix = "indent with spaces, not tabs, and quote values that start with '@', '`' or '%'"
    elif "mapping values are not allowed" in problem:
        fix = "check the indentation, and quote values that contain ': '"
    elif "undefined alias" in problem:
        fix = "define the anchor before using it"
    elif "unexpected end of stream" in problem:
        mark, fix = error.context_mark or mark, "close the quote or bracket opened there"
    elif "could not determine a constructor" in problem:
        fix = "remove the tag"
    return YAMLFault(document, _row(mark), f"is not valid YAML: {problem}", fix)


def _row(mark: Any) -> int:
    return int(mark.line) + 1 if mark else 1


class _Builder:
    """Builds plain values from nodes, each shared node once."""

    def __init__(self, loader: _Loader, document: int) -> None:
        self._loader = loader
        self._document = document
        self._built: dict[yaml.Node, tuple[Any, int]] = {}
        self._open: set[yaml.Node] = set()

    def build(self, node: yaml.Node) -> Any:
        return self._sized(node)[0]

    def _sized(self, node: yaml.Node) -> tuple[Any, int]:
        if node in self._built:
            return self._built[node]
        if node in self._open:
            raise self._fault(node, "an anchor's value contains the anchor itself", "write the value out")
        self._open.add(node)
        content, size = self._content(node)
        if size > MAX_EXPANDED:
            raise self._fault(node, f"aliases expand to more than {MAX_EXPANDED} values", "use fewer aliases")
        self._open.discard(node)
        self._built[node] = content, size
        return content, size

    def _content(self, node: yaml.Node) -> tuple[Any, int]:
        if isinstance(node, yaml.ScalarNode):
            try:
                value = self._loader.construct_object(node)
                if isinstance(value, int):
                    float(value)  # one that no float holds would end in an OverflowError where it is used
                return value, 1
            except (ValueError, OverflowError):
                raise self._fault(node, f"{_short(node.value)} cannot be read", "write it in quotes") from None
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            built = [self._sized(item) for item in node.value]
            return [content for content, _ in built], 1 + sum(size for _, size in built)
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self._mapping(node)
        raise self._fault(node, f"the tag {node.tag!r} is not supported", "remove the tag")

    def _mapping(self, node: yaml.MappingNode) -> tuple[dict[str, Any], int]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        lines: dict[str, int] = {}
        size = 1
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:null":
                raise self._fault(key_node, "a key must be a text", "write 'name: value'")
            value, value_size = self._sized(value_node)
            size += value_size
            if key_node.tag == "tag:yaml.org,2002:merge":
                sources = value if isinstance(value, list) else [value]
                if not all(isinstance(source, dict) for source in sources):
                    raise self._fault(key_node, "'<<' merges mappings only", "give it an alias of a mapping")
                for source in sources:
                    merged = source | merged
                continue
            key = key_node.value
            if key in own:
                message = f"the key {key!r} is given twice, first in line {lines[key]}"
                raise self._fault(key_node, message, "remove one of the two")
            own[key], lines[key] = value, line
        return merged | own, size

    def _fault(self, node: yaml.Node, message: str, fix: str) -> YAMLFault:
        return YAMLFault(self._document, node.start_mark.line + 1, message, fix)


def _line(node: yaml.Node, path: Path) -> int:
    line: int = node.start_mark.line + 1
    for part in path:
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        elif isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == part), None)
            if found is None:
                break
            line = found[0].start_mark.line + 1
            node = found[1]
        else:
            break
    return line
