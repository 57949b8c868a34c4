"""The reference's message-level cases of body-based routing, where tests/bbr does not hold them already."""

from __future__ import annotations

import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from tests.cli.dialogue import body, opening
from tests.extproc.one_gateway import FakeCall, mutated, request_body
from tests.reference.hermetic import split

from signalbox.bbr import RouterMetrics, router_routes
from signalbox.bbr.base_models import read_base_models
from signalbox.extproc import PROCESS
from signalbox.resources import ConfigMap, Origin, parse_resource

CONFIG_MAP = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "models", "labels": {"inference.networking.k8s.io/bbr-managed": "true"}},
    "data": {"baseModel": "qwen", "adapters": "- sql-lora-sheddable\n- foo\n- '1'\n"},
}
NAMELESS = b'{"max_tokens":100,"prompt":"test","temperature":0}'


def said(mode: str, *pieces: bytes) -> list[ext_proc.ProcessingResponse]:
    """The answers to one request."""
    config_map = parse_resource(CONFIG_MAP, Origin("test.yaml", 1, 1), None)
    assert isinstance(config_map, ConfigMap)
    models, problems = read_base_models([config_map])
    assert not problems
    call = FakeCall()
    exchange = router_routes(lambda: models, RouterMetrics(build_ref="test"), lambda: 0.0)[PROCESS](call)
    exchange.message(opening(mode, "NONE").SerializeToString())
    for index, piece in enumerate(pieces):
        exchange.message(body(piece, end=index == len(pieces) - 1).SerializeToString())
    return call.take()


@pytest.mark.parametrize(
    ("pieces", "model", "length"),
    [
        pytest.param((request_body("foo", "test"),), "foo", "64", id="an adapter"),
        pytest.param(split(request_body("sql-lora-sheddable", "test")), "sql-lora-sheddable", "79", id="in two pieces"),
    ],
)
def test_full_duplex(pieces: tuple[bytes, ...], model: str, length: str) -> None:
    first, second = said("FULL_DUPLEX_STREAMED", *pieces)
    assert {name.lower(): value for name, value in mutated(first.request_headers.response).items()} == {
        "x-gateway-model-name": model,
        "x-gateway-base-model-name": "qwen",
        "content-length": length,
    }
    assert second.request_body.response.body_mutation.streamed_response.body == b"".join(pieces)


def test_full_duplex_without_a_model_sets_the_length_alone() -> None:
    first, second = said("FULL_DUPLEX_STREAMED", NAMELESS)
    assert mutated(first.request_headers.response) == {"content-length": "50"}
    assert second.request_body.response.body_mutation.streamed_response.body == NAMELESS


def test_buffered_model_and_base_model() -> None:
    *_, answer = said("BUFFERED", request_body("qwen", "test1"))
    common = answer.request_body.response
    assert {name.lower(): value for name, value in mutated(common).items()} == {
        "x-gateway-model-name": "qwen",
        "x-gateway-base-model-name": "qwen",
    }
    assert common.clear_route_cache


def test_difference_buffered_without_a_model_the_route_is_not_chosen_again() -> None:
    *_, answer = said("BUFFERED", NAMELESS)
    assert answer.WhichOneof("response") == "request_body"
    assert not answer.request_body.response.clear_route_cache
