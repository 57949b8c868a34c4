"""Kubernetes objects as types.

Documents of the Gateway API Inference Extension, the Gateway API and the few core kinds a gateway needs are parsed
into frozen models: defaults filled in, every rule of their schemas checked, and everything that is wrong said at once,
with its place and its fix. Older versions are converted while parsing, so that other rooms see one shape of each kind.
"""

from signalbox.resources.containers import (
    ConfigMapVolume,
    Container,
    ContainerPort,
    EnvVar,
    KeyToPath,
    PodSpec,
    Volume,
    VolumeMount,
)
from signalbox.resources.durations import parse_duration
from signalbox.resources.explain import Lines
from signalbox.resources.gatewayapi import GATEWAY_GROUP, Gateway, GatewaySpec, Listener
from signalbox.resources.httpfilters import FilterType, Header, HeaderModifier, HTTPRouteFilter
from signalbox.resources.httproute import (
    BackendRef,
    HeaderMatch,
    HTTPRoute,
    HTTPRouteMatch,
    HTTPRouteRule,
    HTTPRouteSpec,
    ParentRef,
    PathMatch,
    PathMatchType,
    QueryParamMatch,
    Timeouts,
    ValueMatchType,
)
from signalbox.resources.inferencemodel import Criticality, InferenceModel, InferenceModelSpec, TargetModel
from signalbox.resources.inferencepool import (
    AppProtocol,
    EndpointPickerRef,
    FailureMode,
    InferencePool,
    InferencePoolSpec,
    Selector,
    TargetPort,
)
from signalbox.resources.inferencepoolimport import InferencePoolImport
from signalbox.resources.kinds import KINDS
from signalbox.resources.metadata import ObjectMeta, Resource, TemplateMeta
from signalbox.resources.objective import InferenceObjective, InferenceObjectiveSpec
from signalbox.resources.parse import parse_document, parse_resource
from signalbox.resources.pods import Pod, PodCondition, PodStatus
from signalbox.resources.probes import GRPCProbe, HTTPGet, Probe, TCPSocket
from signalbox.resources.problems import InvalidResource, Key, Origin, Problem, Skipped, unexpected
from signalbox.resources.references import (
    EXPERIMENTAL_GROUP,
    LLM_D_GROUP,
    STABLE_GROUP,
    ExperimentalPoolRef,
    PoolRef,
)
from signalbox.resources.rewrite import (
    InferenceModelRewrite,
    InferenceModelRewriteSpec,
    ModelCondition,
    ModelMatch,
    ModelMatchType,
    RewriteRule,
    RewriteTarget,
)
from signalbox.resources.serialize import serialize
from signalbox.resources.updates import check_update
from signalbox.resources.workloads import (
    ConfigMap,
    Deployment,
    DeploymentSpec,
    LabelSelector,
    PodTemplate,
    Service,
    ServicePort,
    ServiceSpec,
)

__all__ = [
    "EXPERIMENTAL_GROUP",
    "GATEWAY_GROUP",
    "KINDS",
    "LLM_D_GROUP",
    "STABLE_GROUP",
    "AppProtocol",
    "BackendRef",
    "ConfigMap",
    "ConfigMapVolume",
    "Container",
    "ContainerPort",
    "Criticality",
    "Deployment",
    "DeploymentSpec",
    "EndpointPickerRef",
    "EnvVar",
    "ExperimentalPoolRef",
    "FailureMode",
    "FilterType",
    "GRPCProbe",
    "Gateway",
    "GatewaySpec",
    "HTTPGet",
    "HTTPRoute",
    "HTTPRouteFilter",
    "HTTPRouteMatch",
    "HTTPRouteRule",
    "HTTPRouteSpec",
    "Header",
    "HeaderMatch",
    "HeaderModifier",
    "InferenceModel",
    "InferenceModelRewrite",
    "InferenceModelRewriteSpec",
    "InferenceModelSpec",
    "InferenceObjective",
    "InferenceObjectiveSpec",
    "InferencePool",
    "InferencePoolImport",
    "InferencePoolSpec",
    "InvalidResource",
    "Key",
    "KeyToPath",
    "LabelSelector",
    "Lines",
    "Listener",
    "ModelCondition",
    "ModelMatch",
    "ModelMatchType",
    "ObjectMeta",
    "Origin",
    "ParentRef",
    "PathMatch",
    "PathMatchType",
    "Pod",
    "PodCondition",
    "PodSpec",
    "PodStatus",
    "PodTemplate",
    "PoolRef",
    "Probe",
    "Problem",
    "QueryParamMatch",
    "Resource",
    "RewriteRule",
    "RewriteTarget",
    "Selector",
    "Service",
    "ServicePort",
    "ServiceSpec",
    "Skipped",
    "TCPSocket",
    "TargetModel",
    "TargetPort",
    "TemplateMeta",
    "Timeouts",
    "ValueMatchType",
    "Volume",
    "VolumeMount",
    "check_update",
    "parse_document",
    "parse_duration",
    "parse_resource",
    "serialize",
    "unexpected",
]
