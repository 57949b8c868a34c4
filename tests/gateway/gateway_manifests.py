"""Manifests for the tests of the local cluster, written as short as the schemas allow."""

from __future__ import annotations

from typing import Any

import yaml

from signalbox.resources import Origin, Resource, parse_resource


def parse(text: str) -> tuple[Resource, ...]:
    """The resources of a YAML text with one or more documents."""
    parsed = [parse_resource(each, Origin("test.yaml")) for each in yaml.safe_load_all(text) if each]
    return tuple(each for each in parsed if isinstance(each, Resource))


def one(kind: type[Any], text: str) -> Any:
    """The only resource of a YAML text, which must be of this kind."""
    (resource,) = parse(text)
    assert isinstance(resource, kind)
    return resource


POOL = """
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: pool}
spec:
  selector: {matchLabels: {app: vllm}}
  targetPorts: [{number: 8000}]
  endpointPickerRef: {name: picker, port: {number: 9002}, failureMode: FailOpen}
"""

PICKER = """
apiVersion: v1
kind: Service
metadata: {name: picker}
spec: {selector: {app: chooser}, ports: [{port: 9002}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: chooser}
spec:
  selector: {matchLabels: {app: chooser}}
  template:
    metadata: {labels: {app: chooser}}
    spec:
      containers:
      - name: c
        image: example.org/anything
        env: [{name: KV_CACHE_THRESHOLD, value: "0.7"}, {name: OTHER, value: x}]
"""

SERVER = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: vllm}
spec:
  replicas: 2
  selector: {matchLabels: {app: vllm}}
  template:
    metadata: {labels: {app: vllm}}
    spec:
      terminationGracePeriodSeconds: 7
      containers:
      - name: vllm
        command: [vllm, serve, $(MODEL)]
        env:
        - {name: MODEL, value: m}
        - {name: VLLM_X, value: "1"}
        - {name: PYTHONPATH, value: /image}
        - {name: TOKEN, valueFrom: {secretKeyRef: {name: s, key: k}}}
        - {name: SPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
        ports: [{name: http, containerPort: 8000}]
        readinessProbe: {httpGet: {path: /health, port: http}, periodSeconds: 1}
        livenessProbe: {exec: {command: [true]}}
      initContainers:
      - name: syncer
        restartPolicy: Always
        env: [{name: DYNAMIC_LORA_ROLLOUT_CONFIG, value: /config/configmap.yaml}]
        volumeMounts: [{name: adapters, mountPath: /config}]
      volumes:
      - name: adapters
        configMap: {name: adapters}
"""

MODEL = """
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModel
metadata: {name: food}
spec:
  modelName: food
  poolRef: {name: pool}
  targetModels: [{name: food-1, weight: 1}]
"""

ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: route}
spec:
  parentRefs: [{name: gateway}]
  rules: [{backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: pool}]}]
"""


def gateway(name: str, *listeners: dict[str, object]) -> str:
    """A Gateway with these listeners."""
    return yaml.safe_dump(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": name},
            "spec": {"gatewayClassName": "c", "listeners": list(listeners)},
        }
    )
