"""Objects into documents and back: nothing is lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.resources import InvalidResource, Origin, Resource, parse_resource, serialize

HERE = Origin("models.yaml", 2, 10)
EXPERIMENTAL = "inference.networking.x-k8s.io/v1alpha2"


def test_every_kind_survives_the_way_to_a_document_and_back(documents: Any) -> None:
    for which in documents.names:
        read = documents.read(which)
        assert parse_resource(serialize(read), HERE) == read


def test_a_document_says_only_what_differs_from_the_defaults(documents: Any) -> None:
    read = documents.read("pod", {"spec": None, "metadata.labels": {"app": "llama"}})
    assert serialize(read) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "vllm-0", "labels": {"app": "llama"}},
        "status": {"podIP": "127.0.1.1", "conditions": [{"type": "Ready", "status": "True"}]},
    }


names = st.from_regex(r"[a-z]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True)
labels = st.dictionaries(
    names, st.from_regex(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,8}[A-Za-z0-9])?)?", fullmatch=True), max_size=4
)
opaque = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ports = st.integers(1, 65535)
failure_modes = st.sampled_from(["FailOpen", "FailClose"])
metadata = st.fixed_dictionaries(
    {"name": names},
    optional={
        "namespace": names,
        "labels": labels,
        "annotations": st.dictionaries(names, st.text(max_size=8), max_size=2),
        "creationTimestamp": st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
        "managedFields": opaque,
    },
)
containers = st.fixed_dictionaries(
    {"name": names},
    optional={
        "args": st.lists(st.text(max_size=8), max_size=3),
        "env": st.lists(st.fixed_dictionaries({"name": names}, optional={"value": st.text(max_size=5)}), max_size=2),
        "ports": st.lists(st.fixed_dictionaries({"containerPort": ports}, optional={"name": names}), max_size=2),
        "resources": opaque,
        "readinessProbe": st.fixed_dictionaries(
            {"httpGet": st.fixed_dictionaries({"port": ports | names})}, optional={"periodSeconds": st.integers(1, 60)}
        ),
    },
)
pods = st.fixed_dictionaries(
    {"apiVersion": st.just("v1"), "kind": st.just("Pod"), "metadata": metadata},
    optional={
        "spec": st.fixed_dictionaries(
            {"containers": containers.map(lambda one: [one])}, optional={"tolerations": opaque}
        ),
        "status": st.fixed_dictionaries({}, optional={"podIP": st.just("::1"), "hostIPs": opaque}),
    },
)
weights = st.integers(1, 1_000_000)
targets = st.lists(st.fixed_dictionaries({"name": names, "weight": weights}), max_size=10) | st.lists(
    st.fixed_dictionaries({"name": names}), max_size=10
)
models = st.fixed_dictionaries(
    {
        "apiVersion": st.just(EXPERIMENTAL),
        "kind": st.just("InferenceModel"),
        "metadata": metadata,
        "spec": st.fixed_dictionaries(
            {"modelName": st.text(min_size=1, max_size=256), "poolRef": st.fixed_dictionaries({"name": names})},
            optional={"targetModels": targets, "criticality": st.sampled_from(["Critical", "Standard", "Sheddable"])},
        ),
    },
    optional={"status": opaque},
)
old_pools = st.fixed_dictionaries(
    {
        "apiVersion": st.just(EXPERIMENTAL),
        "kind": st.just("InferencePool"),
        "metadata": metadata,
        "spec": st.fixed_dictionaries(
            {
                "selector": labels.filter(bool),
                "targetPortNumber": ports,
                "extensionRef": st.fixed_dictionaries(
                    {"name": names},
                    optional={"portNumber": ports, "failureMode": st.sampled_from(["FailOpen", "FailClose"])},
                ),
            }
        ),
    }
)


@settings(deadline=None)
@given(pods | models | old_pools)
def test_any_valid_document_survives_the_way_back_through_json(document: dict[str, Any]) -> None:
    read = parse_resource(document, HERE)
    assert isinstance(read, Resource)
    written = json.loads(json.dumps(serialize(read)))
    assert parse_resource(written, HERE) == read


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["apiVersion", "kind", "metadata", "spec", "data", "x"]), opaque))
def test_any_other_document_is_refused_or_skipped_with_reasons(document: dict[str, Any]) -> None:
    for kind, version in (("InferencePool", "inference.networking.k8s.io/v1"), ("Deployment", "apps/v1")):
        with pytest.raises(InvalidResource) as raised:
            parse_resource(document | {"kind": kind, "apiVersion": version}, HERE)
        assert all(problem.message and problem.fix for problem in raised.value.problems)
