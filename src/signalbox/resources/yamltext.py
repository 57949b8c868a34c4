"""Plain values into YAML text that every reader of Kubernetes manifests reads the same way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from signalbox.resources.yamltree import PLAIN_SCALARS


class _Dumper(yaml.SafeDumper):
    """Quotes a text that YAML 1.1 or Kubernetes would take for something else, and writes no aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)
for _first, _resolvers in PLAIN_SCALARS.items():
    for _tag, _pattern in _resolvers:
        _Dumper.add_implicit_resolver(_tag, _pattern, [_first])


def write_yaml(documents: Iterable[Any]) -> str:
    """Return documents as one YAML text, in order, separated by ``---``. Keys keep their order."""
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
