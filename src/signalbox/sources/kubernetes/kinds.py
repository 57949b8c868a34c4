"""The kinds that are followed, and where an API server keeps them."""

from __future__ import annotations

from dataclasses import dataclass

from signalbox.cluster import Collection
from signalbox.resources import EXPERIMENTAL_GROUP, LLM_D_GROUP, STABLE_GROUP


@dataclass(frozen=True, slots=True)
class PolicyKind:
    """One kind in one API group."""

    kind: str
    group: str
    version: str
    plural: str

    @property
    def api_version(self) -> str:
        """``group/version``."""
        return f"{self.group}/{self.version}"

    def collection(self, namespace: str, name: str | None = None) -> Collection:
        """Where its objects are: all of a namespace, or only the one called ``name``."""
        selectors = () if name is None else (("fieldSelector", f"metadata.name={name}"),)
        return Collection(self.group, self.version, self.plural, namespace, selectors)


POOLS = (
    PolicyKind("InferencePool", STABLE_GROUP, "v1", "inferencepools"),
    PolicyKind("InferencePool", EXPERIMENTAL_GROUP, "v1alpha2", "inferencepools"),
)

POLICIES = (
    PolicyKind("InferenceModel", EXPERIMENTAL_GROUP, "v1alpha2", "inferencemodels"),
    PolicyKind("InferenceObjective", LLM_D_GROUP, "v1alpha2", "inferenceobjectives"),
    PolicyKind("InferenceObjective", EXPERIMENTAL_GROUP, "v1alpha2", "inferenceobjectives"),
    PolicyKind("InferenceModelRewrite", LLM_D_GROUP, "v1alpha2", "inferencemodelrewrites"),
    PolicyKind("InferenceModelRewrite", EXPERIMENTAL_GROUP, "v1alpha2", "inferencemodelrewrites"),
)
"""Where two groups hold an object of the same kind and name, the one listed first counts: the newer of the two, as for
pools."""

POOL_GROUPS = tuple(kind.group for kind in POOLS)


def pod_collection(namespace: str, labels: dict[str, str]) -> Collection:
    """Where the pods are that carry all of ``labels``."""
    selector = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
    return Collection("", "v1", "pods", namespace, (("labelSelector", selector),))
