"""ext_proc exchanges that share a small pool: any messages in any order, and nothing stays in flight."""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc

from signalbox.director import Director, guide_rules
from signalbox.extproc import Exchange, Terms
from signalbox.pool import Pool, Readings
from signalbox.resources import Origin, Skipped, parse_resource

_EXCHANGES = 4
_MESSAGE, _HALF_CLOSE, _CANCEL = range(3)
_MODES = (
    ProcessingMode.FULL_DUPLEX_STREAMED,
    ProcessingMode.BUFFERED,
    ProcessingMode.STREAMED,
    ProcessingMode.NONE,
    ProcessingMode.BUFFERED_PARTIAL,
)
_BODIES = (
    json.dumps({"model": "m", "prompt": "hello", "stream": True, "max_tokens": 9}).encode(),
    json.dumps({"model": "batch", "messages": [{"role": "user", "content": "hi"}]}).encode(),
    b'{"model": 1}',
    b'{"model": "m", "prompt": "' + b"x" * 70_000 + b'"}',
    b"not json",
    b"",
    b"\xff\x00",
    b'{"usage": {"prompt_tokens": 1, "completion_tokens": 2}}',
    b'data: {"usage": {"prompt_tokens": -1, "completion_tokens": "x"}}\n\ndata: [DONE]\n\n',
)
_HEADERS = (
    (":path", b"/v1/completions"),
    (":path", b"/v1/chat/completions"),
    (":path", b"/v1/models"),
    (":path", b"\xff"),
    (":status", b"200"),
    (":status", b"503"),
    (":status", b"x"),
    ("content-type", b"application/json"),
    ("content-type", b"text/event-stream"),
    ("x-request-id", b"\xfe\xff"),
    ("x-gateway-inference-objective", b"none"),
    ("x-gateway-model-name-rewrite", b"other"),
)


def small_pool() -> Pool:
    """A pool of three ready endpoints and two models, one of them sheddable."""
    experimental = "inference.networking.x-k8s.io/v1alpha2"
    documents: list[dict[str, Any]] = [
        {
            "apiVersion": "inference.networking.k8s.io/v1",
            "kind": "InferencePool",
            "metadata": {"name": "pool"},
            "spec": {
                "selector": {"matchLabels": {"app": "llm"}},
                "targetPorts": [{"number": 8000}],
                "endpointPickerRef": {"name": "epp", "port": {"number": 9002}},
            },
        }
    ]
    for number in range(1, 4):
        documents.append(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": f"pod-{number}", "labels": {"app": "llm"}},
                "status": {"podIP": f"10.0.0.{number}", "conditions": [{"type": "Ready", "status": "True"}]},
            }
        )
    for name, criticality in (("m", "Critical"), ("batch", "Sheddable")):
        spec = {"modelName": name, "criticality": criticality, "poolRef": {"name": "pool"}}
        documents.append(
            {"apiVersion": experimental, "kind": "InferenceModel", "metadata": {"name": name}, "spec": spec}
        )
    pool = Pool("pool")
    for document in documents:
        resource = parse_resource(document, Origin("fuzz", 1, 1), None)
        assert not isinstance(resource, Skipped)
        if resource.kind == "InferencePool":
            pool.set_pool(resource)  # type: ignore[arg-type]
        else:
            pool.put(resource)  # type: ignore[arg-type]
    for waiting, endpoint in enumerate(pool.endpoints):
        pool.record(endpoint, Readings(waiting=waiting * 4, kv_usage=0.3), pool.begin_scrape(endpoint), now=0.0)
    return pool


class _Call:
    """The call of one exchange: notes its end and reads every answer back."""

    method = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
    metadata: tuple[tuple[bytes, bytes], ...] = ()

    def __init__(self) -> None:
        self.over = False

    def send(self, message: bytes) -> None:
        """Every answer must be one that Envoy can read."""
        if not self.over:
            assert ext_proc.ProcessingResponse.FromString(message).WhichOneof("response")

    def finish(self, status: int = 0, message: str = "") -> None:
        """The exchange is over."""
        self.over = True


def generate(rng: Random) -> list[bytes]:
    """Steps of several exchanges: what happens, to which of them, and the message if it is one."""
    steps = []
    for number in range(_EXCHANGES):
        if rng.random() < 0.5:
            steps += [bytes((_MESSAGE, number)) + message for message in _opening(rng)]
    for _ in range(rng.randrange(1, 30)):
        kind = rng.choices((_MESSAGE, _HALF_CLOSE, _CANCEL), (20, 1, 1))[0]
        steps.append(bytes((kind, rng.randrange(_EXCHANGES))) + (_request(rng) if kind == _MESSAGE else b""))
    return steps


def _opening(rng: Random) -> list[bytes]:
    """The first two messages of a gateway that does everything right."""
    first, second = ext_proc.ProcessingRequest(), ext_proc.ProcessingRequest()
    first.request_headers.headers.headers.add(key=":path", raw_value=rng.choice(_HEADERS[:2])[1])
    first.protocol_config.request_body_mode = rng.choice(_MODES)
    first.protocol_config.response_body_mode = rng.choice(_MODES)
    second.request_body.body = rng.choice(_BODIES[:2])
    second.request_body.end_of_stream = True
    return [first.SerializeToString(), second.SerializeToString()]


def _headers(rng: Random) -> ext_proc.HttpHeaders:
    chosen = rng.sample(_HEADERS, rng.randrange(len(_HEADERS)))
    entries = [base_pb2.HeaderValue(key=key, raw_value=value) for key, value in chosen]
    return ext_proc.HttpHeaders(headers=base_pb2.HeaderMap(headers=entries), end_of_stream=rng.random() < 0.2)


def _request(rng: Random) -> bytes:
    request = ext_proc.ProcessingRequest()
    kind = rng.randrange(8)
    if kind == 0:
        request.request_headers.CopyFrom(_headers(rng))
    elif kind in (1, 2):
        request.request_body.body = rng.choice(_BODIES)
        request.request_body.end_of_stream = rng.random() < 0.7
    elif kind == 3:
        request.request_trailers.SetInParent()
    elif kind == 4:
        request.response_headers.CopyFrom(_headers(rng))
    elif kind in (5, 6):
        request.response_body.body = rng.choice(_BODIES)
        request.response_body.end_of_stream = rng.random() < 0.3
    else:
        request.response_trailers.SetInParent()
    if rng.random() < 0.3:
        request.protocol_config.request_body_mode = rng.choice(_MODES)
        request.protocol_config.response_body_mode = rng.choice(_MODES)
    if rng.random() < 0.1:
        spaces = request.metadata_context.filter_metadata
        spaces["envoy.lb.subset_hint"].update(
            {"x-gateway-destination-endpoint-subset": rng.choice((["10.0.0.2"], "x", 7))}
        )
        spaces["envoy.lb"].update({"x-gateway-destination-endpoint-served": rng.choice(("10.0.0.1:8000", "", 7))})
    data = bytearray(request.SerializeToString())
    if rng.random() < 0.05 and data:
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def run(inputs: list[bytes], seen: Counter[str]) -> int:
    """Play the steps as a transport would: after the end of a call nothing more is said to its exchange."""
    pool = small_pool()
    director = Director(pool, guide_rules(), rng=Random(1))
    calls = [_Call() for _ in range(_EXCHANGES)]
    exchanges = [Exchange(call, director, lambda: 1.0, Terms(max_body=100_000)) for call in calls]
    for step in inputs:
        kind, number = step[0], step[1] % _EXCHANGES
        if calls[number].over:
            continue
        if kind == _MESSAGE:
            exchanges[number].message(step[2:])
        elif kind == _HALF_CLOSE:
            exchanges[number].half_closed()
        else:
            calls[number].over = True
            exchanges[number].cancelled()
        in_flight = int(pool.columns.inflight.sum())
        assert 0 <= in_flight <= _EXCHANGES
        seen["exchange in flight"] += in_flight
    for call, exchange in zip(calls, exchanges, strict=True):
        if not call.over:
            call.over = True
            exchange.cancelled()
    assert not pool.columns.inflight.any(), "a request is counted for ever"
    return len(inputs)
