"""Annotations of our own are held to what they are called, where they stand and what they say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.resources import InvalidResource, Origin, Resource, parse_resource
from signalbox.sources.kubernetes.reading import read

EXPERIMENTAL = "inference.networking.x-k8s.io/v1alpha2"
STICKY = "signalbox.dev/sticky-header"


def model(**annotations: str) -> dict[str, Any]:
    return {
        "apiVersion": EXPERIMENTAL,
        "kind": "InferenceModel",
        "metadata": {"name": "m", "annotations": annotations},
        "spec": {"modelName": "m", "poolRef": {"name": "p"}, "targetModels": [{"name": "a"}, {"name": "b"}]},
    }


def problem_of(document: dict[str, Any]) -> str:
    with pytest.raises(InvalidResource) as caught:
        parse_resource(document, Origin("f.yaml", 1, 3), lambda path: 10 + len(path))
    (problem,) = caught.value.problems
    return str(problem)


def accepted(document: dict[str, Any]) -> bool:
    return isinstance(parse_resource(document, Origin("f.yaml", 1, 3)), Resource)


@given(st.text("ABYZabyz0189!#$%&'*+-.^_`|~", min_size=1, max_size=256))
def test_the_name_of_a_header_is_taken(name: str) -> None:
    assert accepted(model(**{STICKY: name}))


@pytest.mark.parametrize("value", ["bad header!", "", "x:", "x-session-id, x-user", "é", "x" * 257])
def test_what_is_no_name_of_a_header_is_refused_at_its_line(value: str) -> None:
    place = f'f.yaml:13 document 1 InferenceModel/m metadata.annotations["{STICKY}"]'
    assert problem_of(model(**{STICKY: value})) == (
        f"{place}: {value!r} is not the name of a request header; write one such as x-session-id"
    )


@pytest.mark.parametrize("name", ["signalbox.dev/stickyheader", "signalbox.dev/sticky-Header"])
def test_a_misspelt_one_is_refused_with_a_suggestion(name: str) -> None:
    assert problem_of(model(**{name: "x"})).endswith(f"is not a known annotation; did you mean '{STICKY}'?")


def test_one_that_is_like_none_is_refused_with_those_there_are() -> None:
    assert problem_of(model(**{"signalbox.dev/1234": "x"})).endswith(f"use one of {STICKY}, signalbox.dev/port")


def test_one_of_another_kind_is_refused() -> None:
    assert "has no effect on InferenceModel; write it on Pod, or remove it" in problem_of(
        model(**{"signalbox.dev/port": "1"})
    )


def pod(port: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "annotations": {"signalbox.dev/port": port}},
        "spec": {"containers": [{"name": "c"}]},
    }


@pytest.mark.parametrize("value", ["1", "8000", "65535", "00080"])
def test_a_port_is_taken(value: str) -> None:
    assert accepted(pod(value))


@pytest.mark.parametrize(
    "value", ["", "0", "65536", "99999", "-1", "80.0", " 80", "80 ", "http", "٨٠", "1e3", "0x50", "8" * 400]
)
def test_what_is_no_port_is_refused_at_its_line(value: str) -> None:
    assert problem_of(pod(value)) == (
        f'f.yaml:13 document 1 Pod/p metadata.annotations["signalbox.dev/port"]: {value!r} is not a port;'
        " write a number from 1 to 65535 in quotes, such as '8000'"
    )


def test_in_a_cluster_a_pod_serves_on_its_pools_port_instead() -> None:
    found = read(pod("http"), Origin("pods"))
    assert found.resource is not None
    assert found.resource.metadata.annotations == {}
    assert [problem.message for problem in found.problems] == ["'http' is not a port; left out"]


def test_annotations_of_others_are_nobodys_business() -> None:
    assert accepted(model(**{"example.com/sticky-header": "bad header!", "plain": ""}))


def test_in_a_cluster_the_object_is_served_without_the_annotation() -> None:
    found = read(model(**{STICKY: "bad header!"}), Origin("inferencemodels"))
    assert found.resource is not None
    assert found.resource.metadata.annotations == {}
    assert [problem.message for problem in found.problems] == [
        "'bad header!' is not the name of a request header; left out"
    ]
