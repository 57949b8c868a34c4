"""Plugin types of the reference that are not supported, and why."""

from __future__ import annotations

_PREDICTOR = "it needs the latency predictor, a service of its own that is trained beside the picker"
_PRECISE = (
    "it needs the KV-cache events of the servers and a tokenizer service; approximate prefix matching is built in"
)
_QUEUES = "requests do not queue in the picker: they are routed or refused at once"
_CLUSTERS = "endpoints of other clusters are not known here"
_TOPOLOGY = "the place of an endpoint relative to another is not known here"
_REMOVED = "it is deprecated in the reference"

UNSUPPORTED: dict[str, str] = {
    "precise-prefix-cache-scorer": _PRECISE,
    "precise-prefix-cache-producer": _PRECISE,
    "latency-scorer": _PREDICTOR,
    "predicted-latency-scorer": _PREDICTOR,
    "predicted-latency-producer": _PREDICTOR,
    "slo-headroom-tier-filter": _PREDICTOR,
    "latency-slo-admitter": _PREDICTOR,
    "topology-affinity-scorer": _TOPOLOGY,
    "topology-affinity-filter": _TOPOLOGY,
    "mm-embeddings-cache-scorer": "multimodal content counts in the prefix index; use prefix-cache-scorer",
    "multicluster-queue-scorer": _CLUSTERS,
    "multicluster-kv-cache-utilization-scorer": _CLUSTERS,
    "multicluster-prefix-cache-scorer": _CLUSTERS,
    "multicluster-approx-prefix-cache-producer": _CLUSTERS,
    "multicluster-file-discovery": _CLUSTERS,
    "burst-prefix-cache-producer": "requests are not held back to be grouped",
    "p2p-source-producer": "the transfer of KV blocks between servers is not steered here",
    "agent-identity": "there are no fairness queues to identify agents for",
    "request-attribute-reporter": "attributes of answers are not reported to the proxy",
    "disaggregatedset-rollout-screener": "revisions are not told apart; use label-selector-filter",
    "probabilistic-admitter": "requests are admitted by saturation and priority alone",
    "round-robin-fairness-policy": _QUEUES,
    "program-aware-fairness": _QUEUES,
    "program-aware-fairness-policy": _QUEUES,
    "edf-ordering-policy": _QUEUES,
    "slo-deadline-ordering-policy": _QUEUES,
    "priority-holdback-policy": _QUEUES,
    "soft-reflective-ceiling-policy": _QUEUES,
    "priority-then-time-eviction-order-policy": _QUEUES,
    "sheddable-eviction-filter": _QUEUES,
    "data-parallel-profile-handler": f"{_REMOVED}; each rank is an endpoint: give the pool several target ports",
    "pd-profile-handler": f"{_REMOVED}; use disagg-profile-handler",
    "disagg-headers-handler": f"{_REMOVED}; disagg-profile-handler writes the headers itself",
    "prefill-header-handler": f"{_REMOVED}; disagg-profile-handler writes the headers itself",
    "vllmgrpc-parser": "bodies of vLLM's gRPC API are not read",
    "vertexai-parser": "bodies of the Vertex AI API are not read",
    "file-discovery": "endpoints come from manifests; start the picker with --source",
    "k8s-notification-source": "Kubernetes objects are watched without configuration",
    "dcgm-data-source": "only the metrics of model servers are read",
    "models-data-source": "model names come from manifests",
}
"""By type: the end of the sentence "is not supported: ..."."""

GATES: dict[str, str] = {
    "haPopulateNonLeaderDatastore": "",
    "dataLayer": "",
    "prepareDataPlugins": "",
    "enableLegacyMetrics": "",
    "flowControl": _QUEUES,
}
"""Known feature gates; those with a reason cannot be switched on."""
