"""Which updates are refused."""

from __future__ import annotations

from typing import Any

import pytest

from signalbox.resources import Origin, check_update


def test_a_model_keeps_its_model_name(documents: Any) -> None:
    old, new = documents.read("model"), documents.read("model", {"spec.modelName": "film-review"})
    (problem,) = check_update(old, new)
    assert str(problem) == (
        "a.yaml:1 document 1 InferenceModel/review spec.modelName: is immutable: it was the string 'food-review',"
        " now it is the string 'film-review'; change it back, or delete InferenceModel review and create it anew"
    )


def test_all_else_of_a_model_may_change(documents: Any) -> None:
    changes = {"spec.criticality": "Critical", "spec.poolRef.name": "other", "spec.targetModels": [{"name": "v2"}]}
    assert check_update(documents.read("model"), documents.read("model", changes)) == ()


@pytest.mark.parametrize(
    ("which", "changes"),
    [
        ("pool", {"spec.targetPorts": [{"number": 1}], "spec.endpointPickerRef": None}),
        ("old pool", {"spec.targetPortNumber": 1, "spec.selector": {"a": "b"}}),
        ("objective", {"spec.priority": 5, "spec.poolRef.name": "other"}),
        ("rewrite", {"spec.rules.0.targets": [{"modelRewrite": "v3"}]}),
        ("import", {"status": {}}),
        ("deployment", {"spec.replicas": 2}),
    ],
)
def test_other_kinds_may_change(documents: Any, which: str, changes: dict[str, Any]) -> None:
    assert check_update(documents.read(which), documents.read(which, changes)) == ()


def test_a_pool_may_change_its_version(documents: Any) -> None:
    assert check_update(documents.read("old pool"), documents.read("pool")) == ()


def test_an_object_made_by_a_program_has_no_place(documents: Any) -> None:
    new = documents.read("model", {"spec.modelName": "b"})
    made = type(new)(metadata=new.metadata, spec=new.spec)
    (problem,) = check_update(documents.read("model"), made)
    assert problem.origin == Origin("")


def test_two_objects_are_no_update(documents: Any) -> None:
    with pytest.raises(ValueError, match="InferenceModel default/other is no update of InferenceModel default/review"):
        check_update(documents.read("model"), documents.read("model", {"metadata.name": "other"}))
