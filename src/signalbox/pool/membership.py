"""Which pods are endpoints of a pool, and at which ports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from signalbox.pool.endpoints import ACTIVE_PORTS_ANNOTATION, PORT_ANNOTATION, active_ports
from signalbox.resources import InferencePool, Pod


class Place(NamedTuple):
    """One server: a pod and one of its ports."""

    pod: Pod
    name: str
    port: int

    @property
    def identity(self) -> tuple[str, str, str, int]:
        """What makes it the same server it was: namespace, pod, address and port."""
        return self.pod.metadata.namespace, self.pod.metadata.name, self.pod.status.pod_ip, self.port


def places(pods: Iterable[Pod], spec: InferencePool | None) -> Iterator[Place]:
    """Yield the servers of the pods that are ready and that ``spec`` selects; none while there is no pool."""
    if spec is None:
        return
    selector = spec.spec.selector.match_labels
    ports = [port.number for port in spec.spec.target_ports]
    for pod in pods:
        labels = pod.metadata.labels
        if not pod.ready or pod.terminating or not pod.status.pod_ip:
            continue
        if not selector or any(labels.get(name) != value for name, value in selector.items()):
            continue
        own = pod.metadata.annotations.get(PORT_ANNOTATION, "")
        if own.isdecimal() and 0 < int(own) < 65_536:
            ranked, several = [(0, int(own))], False
        else:
            ranked = active_ports(pod.metadata.annotations.get(ACTIVE_PORTS_ANNOTATION), ports)
            several = len(ports) > 1
        for rank, port in ranked:
            yield Place(pod, f"{pod.metadata.name}-rank-{rank}" if several else pod.metadata.name, port)
