"""YAML text into plain values, with the line of every field.

The configuration is the operator's own file, so this reads less suspiciously than the reader of manifests: what it adds
to PyYAML is the lines, and that times stay text and a key given twice is an error, as in Kubernetes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from signalbox.resources import InvalidResource, Lines, Origin, Problem

Path = tuple[str | int, ...]


class _Loader(yaml.CSafeLoader):
    """The safe loader without times."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def read_document(text: str, name: str) -> tuple[Mapping[str, Any], Lines]:
    """Return the one document of ``text`` and the line of each path in it; an empty text is an empty document.

    Raises InvalidResource.
    """
    try:
        nodes = [node for node in yaml.compose_all(text, _Loader) if not _is_null(node)]
        if len(nodes) > 1:
            raise _invalid(name, _line(nodes[1]), "holds several documents", "keep one EndpointPickerConfig")
        if not nodes:
            return {}, lambda path: 1
        root = nodes[0]
        if not isinstance(root, yaml.MappingNode):
            raise _invalid(
                name, _line(root), "is not an EndpointPickerConfig", "start it with 'apiVersion:' and 'kind:'"
            )
        _refuse_repeated_keys(root, name, set())
        content = _Loader("").construct_document(root)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _invalid(name, line, f"is not valid YAML: {error.problem}", "check the indentation there") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _invalid(name, 1, f"cannot be read as YAML: {error}", "correct the text") from None
    return content, lambda path: _line_of(root, path)


def _invalid(name: str, line: int, message: str, fix: str) -> InvalidResource:
    return InvalidResource([Problem(Origin(name, 0, line), "", "", "", message, fix)])


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _line(node: yaml.Node) -> int:
    line: int = node.start_mark.line + 1
    return line


def _refuse_repeated_keys(node: yaml.Node, name: str, seen: set[int]) -> None:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in keys:
                    raise _invalid(name, _line(key), f"the key {key.value!r} is given twice", "remove one of the two")
                keys.add(key.value)
            _refuse_repeated_keys(value, name, seen)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_repeated_keys(value, name, seen)


def _line_of(node: yaml.Node, path: Path) -> int:
    """Return the line of the deepest part of ``path`` that exists."""
    line = _line(node)
    for part in path:
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = _line(node)
        elif isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == part), None)
            if found is None:
                break
            line, node = _line(found[0]), found[1]
        else:
            break
    return line
