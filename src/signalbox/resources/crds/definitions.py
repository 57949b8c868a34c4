"""Which CustomResourceDefinitions there are: names, columns, and the release of the reference each is like."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from signalbox.resources.crds.schema import Schema, structural_schema
from signalbox.resources.crds.status import IMPORT_STATUS, OLD_POOL_STATUS, POOL_STATUS, condition_status
from signalbox.resources.kinds import KINDS
from signalbox.resources.references import EXPERIMENTAL_GROUP, LLM_D_GROUP, STABLE_GROUP

_APPROVED = "api-approved.kubernetes.io"
_BUNDLE = "inference.networking.k8s.io/bundle-version"
_PROPOSAL = "https://github.com/kubernetes-sigs/gateway-api-inference-extension/pull/1173"
_UNAPPROVED = "unapproved, experimental-only"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of ``kubectl get``; ``path`` is a JSONPath into the object."""

    name: str
    path: str
    type: str = "string"


_AGE = Column("Age", ".metadata.creationTimestamp", "date")
_POOL = Column("Inference Pool", ".spec.poolRef.name")


@dataclass(frozen=True, slots=True)
class Definition:
    """What is to be said about a kind besides its spec, which its model in ``KINDS`` says."""

    kind: str
    group: str
    version: str
    description: str
    status: Mapping[str, Any]
    short_name: str = ""
    columns: tuple[Column, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    spec_required: bool = False

    @property
    def plural(self) -> str:
        """The name of the kind in URLs."""
        return f"{self.kind.lower()}s"

    @property
    def name(self) -> str:
        """The name of the CustomResourceDefinition."""
        return f"{self.plural}.{self.group}"


def _objective(group: str, annotations: Mapping[str, str]) -> Definition:
    return Definition(
        "InferenceObjective",
        group,
        "v1alpha2",
        "The priority of the requests that name it in a header.",
        condition_status("Ready"),
        columns=(_POOL, Column("Priority", ".spec.priority"), _AGE),
        annotations=annotations,
    )


def _rewrite(group: str, annotations: Mapping[str, str]) -> Definition:
    return Definition(
        "InferenceModelRewrite",
        group,
        "v1alpha2",
        "Which models are served in place of those that requests name.",
        condition_status("Accepted"),
        columns=(_POOL, _AGE),
        annotations=annotations,
    )


def _experimental(release: str) -> dict[str, str]:
    return {_APPROVED: _UNAPPROVED, _BUNDLE: release}


DEFINITIONS = (
    Definition(
        "InferencePool",
        STABLE_GROUP,
        "v1",
        "Pods that serve the same models, and the picker that chooses among them.",
        POOL_STATUS,
        short_name="infpool",
        annotations={_APPROVED: _PROPOSAL, _BUNDLE: "v1.6.0"},
        spec_required=True,
    ),
    Definition(
        "InferencePool",
        EXPERIMENTAL_GROUP,
        "v1alpha2",
        "Pods that serve the same models, and the picker that chooses among them, as written before v1.",
        OLD_POOL_STATUS,
        short_name="xinfpool",
        annotations=_experimental("v1.4.0"),
    ),
    Definition(
        "InferenceModel",
        EXPERIMENTAL_GROUP,
        "v1alpha2",
        "A model name that users ask for, how much it matters, and what is served for it.",
        condition_status("Ready"),
        columns=(
            Column("Model Name", ".spec.modelName"),
            _POOL,
            Column("Criticality", ".spec.criticality"),
            _AGE,
        ),
    ),
    _objective(EXPERIMENTAL_GROUP, _experimental("v1.5.0")),
    _rewrite(EXPERIMENTAL_GROUP, _experimental("v1.5.0")),
    Definition(
        "InferencePoolImport",
        EXPERIMENTAL_GROUP,
        "v1alpha1",
        "A pool that another cluster exports; written by a multi-cluster controller, never by hand.",
        IMPORT_STATUS,
        short_name="infpimp",
        annotations=_experimental("v1.6.0"),
    ),
    _objective(LLM_D_GROUP, {}),
    _rewrite(LLM_D_GROUP, {}),
)
"""Every kind of the inference groups that is read here, each in one version: the groups of the versions differ."""


def custom_resource_definition(definition: Definition, *, cel: bool = True) -> Schema:
    """Return the CustomResourceDefinition, an ``apiextensions.k8s.io/v1`` document.

    Without ``cel`` it suits API servers before 1.25, which know no validation rules.
    """
    model = KINDS[definition.kind][f"{definition.group}/{definition.version}"]
    properties: Schema = {
        "apiVersion": {"type": "string", "description": "The group and version of the object."},
        "kind": {"type": "string", "description": "The kind of the object."},
        "metadata": {"type": "object"},
    }
    spec = model.model_fields.get("spec")
    if spec is not None:
        properties["spec"] = structural_schema(spec.annotation, spec.metadata, cel=cel)
    properties["status"] = deepcopy(dict(definition.status))
    schema: Schema = {"type": "object", "description": definition.description, "properties": properties}
    if definition.spec_required:
        schema["required"] = ["spec"]
    version: Schema = {
        "name": definition.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    if definition.columns:
        version["additionalPrinterColumns"] = [
            {"name": column.name, "type": column.type, "jsonPath": column.path} for column in definition.columns
        ]
    names: Schema = {
        "kind": definition.kind,
        "listKind": f"{definition.kind}List",
        "plural": definition.plural,
        "singular": definition.kind.lower(),
    }
    if definition.short_name:
        names["shortNames"] = [definition.short_name]
    metadata: Schema = {"name": definition.name}
    if definition.annotations:
        metadata["annotations"] = dict(definition.annotations)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": {"group": definition.group, "names": names, "scope": "Namespaced", "versions": [version]},
    }
