"""Small manifests for the tests of failures."""

from __future__ import annotations


def deployment(replicas: int, *arguments: str, lora: bool = False, name: str = "llm") -> str:
    """A Deployment of vLLM servers that serve the model ``base``."""
    args = ["--model", "base", "--port", "8000", *arguments]
    listed = "".join(f'\n        - "{argument}"' for argument in args)
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers:
      - name: vllm
        image: vllm/vllm-openai:latest
        command: ["python3", "-m", "vllm.entrypoints.openai.api_server"]
        args:{listed}
        ports: [{{containerPort: 8000, name: http}}]
        readinessProbe:
          httpGet: {{path: /health, port: http}}
          periodSeconds: 1
          failureThreshold: 1
"""


def pool(failure_mode: str = "FailClose", name: str = "llm") -> str:
    """An InferencePool v1."""
    return f"""
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  targetPorts: [{{number: 8000}}]
  endpointPickerRef: {{name: epp, port: {{number: 9002}}, failureMode: {failure_mode}}}
"""


def model(model_name: str, criticality: str, pool_name: str = "llm") -> str:
    """An InferenceModel whose target is ``base``."""
    return f"""
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModel
metadata: {{name: {model_name}}}
spec:
  modelName: {model_name}
  criticality: {criticality}
  poolRef: {{name: {pool_name}}}
  targetModels: [{{name: base, weight: 1}}]
"""


GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gateway}
spec:
  gatewayClassName: any
  listeners: [{name: http, port: 80, protocol: HTTP}]
"""


def route(*pools: str) -> str:
    """An HTTPRoute to the pools, by equal weight."""
    refs = "".join(
        f"\n    - {{group: inference.networking.k8s.io, kind: InferencePool, name: {name}}}" for name in pools
    )
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: route}}
spec:
  parentRefs: [{{name: gateway}}]
  rules:
  - backendRefs:{refs}
"""


def together(*documents: str) -> str:
    """One YAML file of several documents."""
    return "---".join(documents)
