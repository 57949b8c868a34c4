"""YAML text into the one document of a configuration, with the line of every field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signalbox.resources import InvalidResource, Lines, Origin, Problem
from signalbox.resources.yamltree import YAMLFault, read_yaml


def read_document(text: str, name: str) -> tuple[Mapping[str, Any], Lines]:
    """Return the one document of ``text`` and the line of each path in it; an empty text is an empty document.

    Raises InvalidResource.
    """
    try:
        documents = [document for document in read_yaml(text) if document.content is not None]
    except YAMLFault as fault:
        raise _invalid(name, fault.line, fault.message, fault.fix) from None
    if not documents:
        return {}, lambda path: 1
    first, *others = documents
    if others:
        raise _invalid(name, others[0].line(()), "holds several documents", "keep one EndpointPickerConfig")
    if not isinstance(first.content, Mapping):
        raise _invalid(
            name, first.line(()), "is not an EndpointPickerConfig", "start it with 'apiVersion:' and 'kind:'"
        )
    return first.content, first.line


def _invalid(name: str, line: int, message: str, fix: str) -> InvalidResource:
    return InvalidResource([Problem(Origin(name, 0, line), "", "", "", message, fix)])
