"""Where the picker's knowledge of the cluster comes from: YAML files or a Kubernetes API server, read and watched."""

from signalbox.sources.directory import DirectorySource
from signalbox.sources.kubernetes import POOL_GROUPS, CollectionState, KubernetesSource
from signalbox.sources.manifests import ManifestReader, Manifests
from signalbox.sources.source import Source
from signalbox.sources.watching import changes

__all__ = [
    "POOL_GROUPS",
    "CollectionState",
    "DirectorySource",
    "KubernetesSource",
    "ManifestReader",
    "Manifests",
    "Source",
    "changes",
]
