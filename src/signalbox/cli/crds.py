"""``signalbox crds``: the CustomResourceDefinitions of the inference kinds, for ``kubectl apply -f -``."""

from __future__ import annotations

import re
from typing import NamedTuple

from signalbox.resources import LLM_D_GROUP
from signalbox.resources.crds import DEFINITIONS, Definition, custom_resource_definition
from signalbox.resources.yamltext import write_yaml

OLDEST = (1, 16)
"""The first Kubernetes that serves ``apiextensions.k8s.io/v1``."""

CEL_SINCE = (1, 25)
"""The first Kubernetes that holds the CEL rules of a schema without a feature gate."""


class Unavailable(Exception):
    """There is no such definition, or none for such a Kubernetes. The text says what there is."""


class Selection(NamedTuple):
    """Which definitions are wanted; an empty field means any, but an empty group leaves out those of llm-d."""

    kind: str = ""
    version: str = ""
    group: str = ""

    def chosen(self) -> list[Definition]:
        """Return the definitions wanted, in their usual order. Raises Unavailable where that is none."""
        chosen = [one for one in DEFINITIONS if self._wants(one)]
        if not chosen:
            there_is = ", ".join(f"{one.kind} {one.group}/{one.version}" for one in DEFINITIONS)
            wanted = " ".join(f"--{name} {value}" for name, value in self._asdict().items() if value)
            raise Unavailable(f"no definition fits {wanted}; there is {there_is}")
        return chosen

    def _wants(self, definition: Definition) -> bool:
        if not self.group and definition.group == LLM_D_GROUP:
            return False
        return (
            self.kind.lower() in ("", definition.kind.lower(), definition.plural, definition.short_name)
            and self.version in ("", definition.version)
            and self.group in ("", definition.group)
        )


def knows_cel(kubernetes: str) -> bool:
    """Return whether API servers of a release, such as ``1.20`` or ``v1.31.2``, hold CEL rules.

    Raises Unavailable for text that is no release and for releases without ``apiextensions.k8s.io/v1``.
    """
    found = re.fullmatch(r"v?([0-9]{1,4})\.([0-9]{1,4})(\.[0-9]+)?([-+].*)?", kubernetes)
    if found is None:
        raise Unavailable(f"--for-kubernetes {kubernetes!r} is not a release; write it like 1.20")
    release = int(found[1]), int(found[2])
    if release < OLDEST:
        raise Unavailable(f"--for-kubernetes {kubernetes}: CustomResourceDefinition v1 came with Kubernetes 1.16")
    return release >= CEL_SINCE


def render(selection: Selection, *, cel: bool) -> str:
    """Return the chosen definitions as one YAML text. Raises Unavailable where none is chosen."""
    return write_yaml(custom_resource_definition(one, cel=cel) for one in selection.chosen())
