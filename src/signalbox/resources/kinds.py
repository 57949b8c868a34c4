"""Which kinds are read here, in which versions, and which are known and left alone."""

from __future__ import annotations

from signalbox.resources.gatewayapi import GATEWAY_GROUP, Gateway
from signalbox.resources.httproute import HTTPRoute
from signalbox.resources.inferencemodel import InferenceModel
from signalbox.resources.inferencepool import InferencePool
from signalbox.resources.inferencepool_v1alpha2 import InferencePoolV1Alpha2
from signalbox.resources.inferencepoolimport import InferencePoolImport
from signalbox.resources.metadata import Resource
from signalbox.resources.objective import InferenceObjective
from signalbox.resources.pods import Pod
from signalbox.resources.references import EXPERIMENTAL_GROUP, LLM_D_GROUP, STABLE_GROUP
from signalbox.resources.rewrite import InferenceModelRewrite
from signalbox.resources.workloads import ConfigMap, Deployment, Service

KINDS: dict[str, dict[str, type[Resource]]] = {
    "InferencePool": {f"{STABLE_GROUP}/v1": InferencePool, f"{EXPERIMENTAL_GROUP}/v1alpha2": InferencePoolV1Alpha2},
    "InferencePoolImport": {f"{EXPERIMENTAL_GROUP}/v1alpha1": InferencePoolImport},
    "InferenceModel": {f"{EXPERIMENTAL_GROUP}/v1alpha2": InferenceModel},
    "InferenceObjective": {
        f"{EXPERIMENTAL_GROUP}/v1alpha2": InferenceObjective,
        f"{LLM_D_GROUP}/v1alpha2": InferenceObjective,
    },
    "InferenceModelRewrite": {
        f"{EXPERIMENTAL_GROUP}/v1alpha2": InferenceModelRewrite,
        f"{LLM_D_GROUP}/v1alpha2": InferenceModelRewrite,
    },
    "Gateway": {f"{GATEWAY_GROUP}/v1": Gateway, f"{GATEWAY_GROUP}/v1beta1": Gateway},
    "HTTPRoute": {f"{GATEWAY_GROUP}/v1": HTTPRoute, f"{GATEWAY_GROUP}/v1beta1": HTTPRoute},
    "Deployment": {"apps/v1": Deployment},
    "ConfigMap": {"v1": ConfigMap},
    "Service": {"v1": Service},
    "Pod": {"v1": Pod},
}
"""By kind and ``apiVersion``: the model a document is read as."""

GROUPS = frozenset(version.rpartition("/")[0] for versions in KINDS.values() for version in versions)
"""The API groups of the kinds read here; the core group is the empty string."""

SHARED_NAMES = frozenset({"Gateway", "Service", "Deployment", "Pod", "ConfigMap"})
"""Kinds whose names other projects use too, as Istio has a Gateway and Knative a Service."""

NOT_NEEDED = frozenset(
    {
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "GatewayClass",
        "HorizontalPodAutoscaler",
        "Namespace",
        "NetworkPolicy",
        "PersistentVolumeClaim",
        "PodDisruptionBudget",
        "Role",
        "RoleBinding",
        "Secret",
        "ServiceAccount",
        "ServiceMonitor",
    }
)
"""Kinds a cluster needs to run the same manifests, and one machine does not."""

NEIGHBOURS = frozenset(
    {
        "BackendTLSPolicy",
        "Binding",
        "ComponentStatus",
        "ControllerRevision",
        "DaemonSet",
        "Endpoints",
        "Event",
        "GRPCRoute",
        "LimitRange",
        "ListenerSet",
        "Node",
        "PersistentVolume",
        "PodTemplate",
        "ReferenceGrant",
        "ReplicaSet",
        "ReplicationController",
        "ResourceQuota",
        "StatefulSet",
        "TCPRoute",
        "TLSRoute",
        "UDPRoute",
    }
)
"""Kinds that live in the same groups and so are no misspelling of a kind read here."""
