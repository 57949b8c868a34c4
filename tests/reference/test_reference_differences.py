"""Where a case of the reference's suites is answered otherwise here: each is a row of docs/compatibility.md."""

from __future__ import annotations

import json

import pytest
from tests.conftest import Objects
from tests.reference.hermetic import (
    HERMETIC,
    Asked,
    Hermetic,
    Pods,
    completion,
    pool_of,
    refused,
    routed,
)

from signalbox.scheduling import InvalidPolicy, load_policy

LOW: Pods = [(3, 0.2, ""), (0, 0.1, ""), (10, 0.2, "")]


def test_a_request_without_a_body_is_503_not_500_where_there_is_no_pod() -> None:
    head = {"content-type": "application/json", ":path": "/v1/models"}
    status, body = refused(Hermetic(pool_of([])).stream().headers(head, end=True))
    assert (status, json.loads(body)["error"]["code"]) == (503, "no_ready_endpoint")


@pytest.mark.parametrize(
    ("sent", "pods", "subset", "says"),
    [
        pytest.param(b'{"prompt":"hello world"}', [], None, "has no model: set the field 'model'", id="missing model"),
        pytest.param(b"no healthy upstream", LOW, None, "is not JSON: invalid character at byte 4", id="invalid JSON"),
        pytest.param(
            completion("m", "x"), LOW, ("192.168.1.99:8000",), "none of the endpoints the proxy allows", id="subset"
        ),
    ],
)  # fmt: skip
def test_a_refusal_is_json_and_says_what_is_wrong(
    sent: bytes, pods: Pods, subset: tuple[str, ...] | None, says: str
) -> None:
    (answer,) = Asked(pieces=(sent,), subset=subset).of(Hermetic(pool_of(pods)))
    headers = {option.header.key: option.header.raw_value for option in answer.immediate_response.headers.set_headers}
    assert headers["content-type"] == b"application/json"
    error = json.loads(answer.immediate_response.body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert says in error["message"]


def test_headers_are_not_written_again_and_those_for_the_picker_are_taken_off() -> None:
    route = routed(Asked("o", "t", (completion("m", "x"),)).of(Hermetic(pool_of(LOW))))
    assert set(route.headers) == {"x-gateway-destination-endpoint", "content-length"}
    assert route.removed == {"x-gateway-inference-objective", "x-gateway-model-name-rewrite"}


def test_two_fallbacks_are_named_unless_the_picker_says_one() -> None:
    asked = Asked(pieces=(completion("m", "x"),))
    usual = routed(asked.of(Hermetic(pool_of(LOW))))
    assert usual.headers["x-gateway-destination-endpoint"] == "192.168.1.2:8000,192.168.1.1:8000,192.168.1.3:8000"
    one = HERMETIC.replace("- type: openai-parser", "- type: max-score-picker\n  parameters: {maxNumOfEndpoints: 1}")
    one = one.replace("- {pluginRef: queue-scorer", "- {pluginRef: max-score-picker}\n  - {pluginRef: queue-scorer")
    one = one.replace("parser: {pluginRef: openai-parser}\n", "")
    alone = routed(asked.of(Hermetic(pool_of(LOW), one)))
    assert alone.headers["x-gateway-destination-endpoint"] == "192.168.1.2:8000"


def test_only_the_models_name_changes_in_a_body() -> None:
    sent = b'{ "temperature": 0.10, "prompt": "<&\\u00e9>", "model": "m", "seed": 12345678901234567890 }'
    route = routed(Asked(rewrite="target", pieces=(sent,)).of(Hermetic(pool_of(LOW))))
    assert route.body == sent.replace(b'"m"', b'"target"')


def test_a_model_that_no_inference_model_names_is_404_where_there_are_any() -> None:
    picker = Hermetic(pool_of(LOW, Objects().model("known")))
    assert refused(Asked(pieces=(completion("unknown", "x"),)).of(picker))[0] == 404
    assert routed(Asked(pieces=(completion("unknown", "x"),)).of(Hermetic(pool_of(LOW))))


@pytest.mark.parametrize("port", ["8000", "8001", ""])
def test_a_port_in_the_subset_counts(port: str) -> None:
    hint = ("192.168.1.3" + (f":{port}" if port else ""),)
    answers = Asked(pieces=(completion("m", "x"),), subset=hint).of(Hermetic(pool_of(LOW)))
    if port == "8001":
        assert refused(answers)[0] == 503
    else:
        assert routed(answers).destination == "192.168.1.3:8000"


HEADER_PROFILES = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: header-profile-handler, parameters: {defaultProfile: a}}, {type: queue-scorer}]
schedulingProfiles: [{name: a, plugins: [{pluginRef: queue-scorer}]}, {name: b, plugins: [{pluginRef: queue-scorer}]}]
"""


@pytest.mark.parametrize(("value", "status"), [("b", 0), ("", 0), ("c", 429)])
def test_no_difference_a_profile_header_that_names_nothing_is_429(value: str, status: int) -> None:
    stream = Hermetic(pool_of(LOW), HEADER_PROFILES).stream()
    answers = stream.headers({":path": "/v1/completions", "epp-profile": value}) + stream.body(completion("m", "x"))
    if status:
        assert refused(answers)[0] == status
    else:
        assert routed(answers).destination == "192.168.1.2:8000"


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        ("vllmgrpc-parser", "bodies of vLLM's gRPC API are not read"),
        ("vertexai-parser", "bodies of the Vertex AI API are not read"),
        ("request-attribute-reporter", "attributes of answers are not reported to the proxy"),
    ],
)
def test_what_is_not_supported_is_refused_with_the_reason(plugin: str, reason: str) -> None:
    text = f"apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: [{{type: {plugin}}}]\n"
    with pytest.raises(InvalidPolicy, match=reason):
        load_policy(text, name="epp.yaml")
