"""Plugin types of the reference that are not supported, and why."""

from __future__ import annotations

_CLUSTERS = "endpoints of other clusters are not known here"
_REMOVED = "it is deprecated in the reference"

UNSUPPORTED: dict[str, str] = {
    "multicluster-queue-scorer": _CLUSTERS,
    "multicluster-kv-cache-utilization-scorer": _CLUSTERS,
    "multicluster-prefix-cache-scorer": _CLUSTERS,
    "multicluster-approx-prefix-cache-producer": _CLUSTERS,
    "multicluster-file-discovery": _CLUSTERS,
    "burst-prefix-cache-producer": "requests are not held back to be grouped",
    "request-attribute-reporter": "attributes of answers are not reported to the proxy",
    "data-parallel-profile-handler": f"{_REMOVED}; each rank is an endpoint: give the pool several target ports",
    "pd-profile-handler": f"{_REMOVED}; use disagg-profile-handler",
    "vllmgrpc-parser": "bodies of vLLM's gRPC API are not read",
    "vertexai-parser": "bodies of the Vertex AI API are not read",
    "file-discovery": "endpoints come from manifests; start the picker with --source",
    "dcgm-data-source": "only the metrics of model servers are read",
}
"""By type: the end of the sentence "is not supported: ..."."""

GATES: dict[str, str] = {
    "haPopulateNonLeaderDatastore": "",
    "dataLayer": "",
    "prepareDataPlugins": "",
    "enableLegacyMetrics": "",
    "flowControl": "requests wait in the picker while the pool is full, as the section `flowControl` says",
}
"""Known feature gates, and what each switches on; those with nothing have no effect."""
