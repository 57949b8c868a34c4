"""A pool answers the same after its manifests were converted, once clients send the objective header."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from signalbox.pool import Catalogue
from signalbox.resources import (
    Criticality,
    InferenceModel,
    InferenceModelRewrite,
    InferenceObjective,
    Origin,
    parse_document,
)
from signalbox.resources.migration import Manifest, Migration, migrate

Document = dict[str, Any]

EXPERIMENTAL = "inference.networking.x-k8s.io/v1alpha2"
names = st.sampled_from(["a", "b", "c", "d"])
targets = st.lists(st.fixed_dictionaries({"name": names, "weight": st.integers(1, 4)}), max_size=3) | st.lists(
    st.fixed_dictionaries({"name": names}), max_size=3
)
created = st.sampled_from([f"2025-03-{day}T09:30:00Z" for day in range(10, 14)])


def model(name: str, spec: Document, stamp: str | None) -> Document:
    metadata = {"name": name} | ({"creationTimestamp": stamp} if stamp else {})
    spec = spec | {"poolRef": {"name": "llama"}}
    return {"apiVersion": EXPERIMENTAL, "kind": "InferenceModel", "metadata": metadata, "spec": spec}


models = st.lists(
    st.tuples(
        st.fixed_dictionaries(
            {"modelName": names},
            optional={"criticality": st.sampled_from(list(Criticality)).map(str), "targetModels": targets},
        ),
        st.none() | created,
    ),
    max_size=5,
).map(lambda drawn: [model(f"m{index}", spec, stamp) for index, (spec, stamp) in enumerate(drawn)])

rewrites = st.lists(
    st.tuples(st.lists(names, max_size=2), names),
    max_size=2,
).map(
    lambda drawn: [
        {
            "apiVersion": EXPERIMENTAL,
            "kind": "InferenceModelRewrite",
            "metadata": {"name": f"r{index}"},
            "spec": {
                "poolRef": {"name": "llama"},
                "rules": [
                    {
                        "matches": [{"model": {"value": value}} for value in matches],
                        "targets": [{"modelRewrite": target}],
                    }
                ],
            },
        }
        for index, (matches, target) in enumerate(drawn)
    ]
)


def catalogue(documents: list[Document]) -> Catalogue:
    holding = Catalogue()
    for document in documents:
        for resource in parse_document(document, Origin("a.yaml")):
            assert isinstance(resource, InferenceModel | InferenceModelRewrite | InferenceObjective)
            holding.put(resource)
    return holding


def converted(documents: list[Document]) -> tuple[Migration, list[Document]]:
    migration = migrate(Manifest(Origin("a.yaml", number), one) for number, one in enumerate(documents, 1))
    return migration, [out.content for group in migration.outputs for out in group]


@given(models, rewrites)
def test_every_name_means_the_same_before_and_after(old: list[Document], others: list[Document]) -> None:
    migration, new = converted(others + old)
    before, after = catalogue(others + old), catalogue(new)
    objectives = {header.model: header.objective for header in migration.headers}
    for name in {document["spec"]["modelName"] for document in old}:
        for _ in range(30):  # more than any sum of weights drawn: the whole rotation, in order
            was, is_ = before.resolve(name), after.resolve(name, objective=objectives.get(name))
            assert was is not None
            assert is_ is not None
            assert (was.target, was.priority) == (is_.target, is_.priority)


@given(models, rewrites)
def test_nothing_is_left_to_convert(old: list[Document], others: list[Document]) -> None:
    _, new = converted(others + old)
    assert not any(document["kind"] == "InferenceModel" for document in new)
    assert converted(new)[1] == new


@given(models)
def test_a_header_is_named_for_whatever_had_another_priority(old: list[Document]) -> None:
    migration, _ = converted(old)
    before = catalogue(old)
    said = {header.model: header.priority for header in migration.headers}
    for name in before.names:
        resolution = before.resolve(name)
        assert resolution is not None
        assert said.get(name, 0) == resolution.priority


def test_a_criticality_has_the_priority_that_the_pool_gives_it() -> None:
    assert {criticality: criticality.priority for criticality in Criticality} == {
        Criticality.CRITICAL: 1,
        Criticality.STANDARD: 0,
        Criticality.SHEDDABLE: -1,
    }
