"""The fixture of the reference's message-level tests: a pool of pods with given metrics, and a gateway that speaks to
its picker in serialized ext_proc messages."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from tests.conftest import Objects
from tests.extproc.one_gateway import FakeCall, in_metadata, mutated, request_body

from signalbox.director import Director, guide_rules, policy_rules
from signalbox.extproc import Exchange, Terms
from signalbox.observability import PickerMetrics, ReportedLoad
from signalbox.pool import Pool, Readings
from signalbox.scheduling import load_policy

Pods = Sequence[tuple[float, float, str]]
"""For each pod its waiting queue, its KV usage and the adapters in use, separated by blanks. ``pod-0`` is at
192.168.1.1."""

FULL: int = ProcessingMode.FULL_DUPLEX_STREAMED
BUFFERED: int = ProcessingMode.BUFFERED

HERMETIC = """
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
featureGates: [enableLegacyMetrics]
plugins:
- type: queue-scorer
- type: kv-cache-utilization-scorer
- type: prefix-cache-scorer
- type: lora-affinity-scorer
- type: openai-parser
schedulingProfiles:
- name: default
  plugins:
  - {pluginRef: queue-scorer, weight: 1}
  - {pluginRef: kv-cache-utilization-scorer, weight: 1}
  - {pluginRef: prefix-cache-scorer, weight: 1}
  - {pluginRef: lora-affinity-scorer, weight: 1}
parser: {pluginRef: openai-parser}
"""
"""The configuration of the later releases' suite."""

PASSTHROUGH = """
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: queue-scorer}, {type: kv-cache-utilization-scorer}, {type: passthrough-parser}]
schedulingProfiles:
- {name: default, plugins: [{pluginRef: queue-scorer}, {pluginRef: kv-cache-utilization-scorer}]}
parser: {pluginRef: passthrough-parser}
"""


def pool_of(pods: Pods, *resources: Any, labels: Sequence[dict[str, str]] = ()) -> Pool:
    """A pool over ``pods``, all scraped, with further objects of its namespace."""
    objects = Objects()
    pool = Pool("pool")
    pool.set_pool(objects.pool())
    for index in range(len(pods)):
        more = labels[index] if labels else {}
        pool.put(objects.pod(f"pod-{index}", f"192.168.1.{index + 1}", labels={"app": "llm", **more}))
    for endpoint, (waiting, usage, adapters) in zip(pool.endpoints, pods, strict=True):
        readings = Readings(waiting=waiting, kv_usage=usage, lora_active=frozenset(adapters.split()))
        pool.record(endpoint, readings, pool.begin_scrape(endpoint), now=0.0)
    for resource in resources:
        pool.put(resource)
    return pool


def fixture_objects(crds: bool = True) -> list[Any]:
    """The objectives and the rewrite of the suite's fixture; none for a picker that has no such kinds."""
    if not crds:
        return []
    objects = Objects()
    return [
        objects.objective("sql-lora", 2),
        objects.objective("sql-lora-sheddable", None),
        objects.objective("my-model", 2),
        objects.objective("direct-model", 2),
        objects.objective("inference-objective-with-priority-4", 4),
        objects.rewrite("rewrite", (("model-to-be-rewritten",), (("rewritten-model", 1),))),
    ]


class Hermetic:
    """A picker over one pool, with the metrics it exports."""

    def __init__(self, pool: Pool, configuration: str | None = HERMETIC) -> None:
        """``configuration`` is an EndpointPickerConfig; ``None`` is the guide's filter tree."""
        self.pool = pool
        self.metrics = PickerMetrics(ReportedLoad(pool), build_ref="test")
        rules = guide_rules() if configuration is None else policy_rules(load_policy(configuration, name="x"), pool)
        self.director = Director(pool, rules, rng=random.Random(1), observer=self.metrics)

    def figure(self, sample: str, /, **labels: str) -> float | None:
        """A sample of the metrics page; ``None`` where there is none."""
        return self.metrics.registry.get_sample_value(sample, labels)

    def stream(self, mode: int = FULL) -> Stream:
        """A new ext_proc stream, bodies in ``mode`` both ways."""
        return Stream(self, mode)


class Stream:
    """A gateway's side of one stream. Header values are sent in ``value``, as the suite does, not in ``raw_value``."""

    def __init__(self, picker: Hermetic, mode: int) -> None:
        self.call = FakeCall()
        self._exchange = Exchange(self.call, picker.director, lambda: 0.1, Terms())
        self._modes: Any = ext_proc.ProtocolConfiguration(request_body_mode=mode, response_body_mode=mode)

    def say(self, subset: list[str] | None = None, **message: Any) -> list[Any]:
        """Send one message; return what it is answered with."""
        request = ext_proc.ProcessingRequest(**message)
        if self._modes is not None:
            request.protocol_config.CopyFrom(self._modes)
            self._modes = None
        if subset is not None:
            hint = {"x-gateway-destination-endpoint-subset": subset}
            request.metadata_context.filter_metadata["envoy.lb.subset_hint"].update(hint)
        self._exchange.message(request.SerializeToString())
        return self.call.take()

    def headers(self, values: dict[str, str], *, end: bool = False, subset: list[str] | None = None) -> list[Any]:
        """The request's headers."""
        return self.say(subset, request_headers=_http_headers(values, end))

    def body(self, *pieces: bytes) -> list[Any]:
        """The request's body, complete."""
        answers = []
        for index, piece in enumerate(pieces):
            end = index == len(pieces) - 1
            answers += self.say(request_body=ext_proc.HttpBody(body=piece, end_of_stream=end))
        return answers

    def answer_headers(self, values: dict[str, str]) -> list[Any]:
        """The answer's headers."""
        return self.say(response_headers=_http_headers(values, False))

    def answer_body(self, *pieces: bytes, end: bool = True) -> list[Any]:
        """The answer's body, complete unless trailers follow."""
        answers = []
        for index, piece in enumerate(pieces):
            last = end and index == len(pieces) - 1
            answers += self.say(response_body=ext_proc.HttpBody(body=piece, end_of_stream=last))
        return answers


@dataclass(frozen=True)
class Asked:
    """The request of the suite: headers, then the body in one piece or more."""

    objective: str = ""
    rewrite: str = ""
    pieces: tuple[bytes, ...] = ()
    subset: tuple[str, ...] | None = None
    family: str = "gateway"
    """Whose header names carry objective and rewrite: ``gateway`` or ``llm-d``."""

    def headers(self) -> dict[str, str]:
        """The request's headers."""
        values = {":path": "/v1/completions", "hi": "mom", "x-request-id": "test-request-id"}
        if self.objective:
            values[f"x-{self.family}-inference-objective"] = self.objective
        if self.rewrite:
            values[f"x-{self.family}-model-name-rewrite"] = self.rewrite
        return values

    def of(self, picker: Hermetic) -> list[Any]:
        """Send it; return all answers."""
        stream = picker.stream()
        answers = stream.headers(self.headers(), subset=None if self.subset is None else list(self.subset))
        return answers + (stream.body(*self.pieces) if self.pieces else [])


@dataclass(frozen=True)
class RouteAnswer:
    """What the two messages of a routed request say."""

    destination: str
    """The first endpoint named."""
    headers: dict[str, str]
    removed: frozenset[str]
    body: bytes


def routed(answers: list[Any]) -> RouteAnswer:
    """Read the answer to a routed request and check what is the same in all of them."""
    assert [answer.WhichOneof("response") for answer in answers] == ["request_headers", "request_body"]
    head, body = answers
    common = head.request_headers.response
    assert common.clear_route_cache
    headers = mutated(common)
    assert in_metadata(head) == headers["x-gateway-destination-endpoint"]
    assert list(head.dynamic_metadata.fields) == ["envoy.lb"]
    piece = body.request_body.response.body_mutation.streamed_response
    assert piece.end_of_stream
    assert headers["content-length"] == str(len(piece.body))
    destination = headers["x-gateway-destination-endpoint"].split(",")[0]
    return RouteAnswer(destination, headers, frozenset(common.header_mutation.remove_headers), piece.body)


def refused(answers: list[Any]) -> tuple[int, bytes]:
    """The status and body of the one answer that refuses."""
    (answer,) = answers
    assert answer.WhichOneof("response") == "immediate_response"
    return answer.immediate_response.status.code, answer.immediate_response.body


def completion(model: str, prompt: str) -> bytes:
    """The suite's request."""
    return request_body(model, prompt)


def split(body: bytes) -> tuple[bytes, bytes]:
    """A body in two pieces, cut within the model's name where there is one."""
    at = body.find(b'"model":"') + 15
    return body[:at], body[at:]


def _http_headers(values: dict[str, str], end: bool) -> ext_proc.HttpHeaders:
    entries = [base_pb2.HeaderValue(key=key, value=value) for key, value in values.items()]
    return ext_proc.HttpHeaders(headers=base_pb2.HeaderMap(headers=entries), end_of_stream=end)
