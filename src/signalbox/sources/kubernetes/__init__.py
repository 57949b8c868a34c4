"""A pool's state from a Kubernetes API server."""

from signalbox.sources.kubernetes.kinds import POOL_GROUPS
from signalbox.sources.kubernetes.source import CollectionState, KubernetesSource

__all__ = ["POOL_GROUPS", "CollectionState", "KubernetesSource"]
