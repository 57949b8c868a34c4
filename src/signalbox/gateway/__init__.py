"""The gateway on one machine: Envoy's configuration, local pods, pickers and their supervisor, and ``signalbox up``.

``run(UpOptions(...))`` reads Kubernetes manifests and does what a kubelet, a Deployment controller and a gateway
controller do with them in a cluster: simulated model servers (or real ones given by URL) behind a real Envoy that
asks one endpoint picker per InferencePool.
"""

from signalbox.gateway.up import UpOptions, run

__all__ = ["UpOptions", "run"]
