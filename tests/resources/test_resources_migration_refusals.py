"""What cannot be converted to the stable API, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from signalbox.resources import InvalidResource, Origin
from signalbox.resources.migration import Manifest, migrate

Document = dict[str, Any]
Texts = Callable[..., Document]


def complaints(*documents: Document) -> list[str]:
    with pytest.raises(InvalidResource) as raised:
        migrate(Manifest(Origin("a.yaml", number), one) for number, one in enumerate(documents, 1))
    return [str(problem) for problem in raised.value.problems]


@pytest.fixture
def text(documents: Any) -> Texts:
    """A document of a kind, with changes given as ``spec__replicas=3``."""
    written: Texts = documents.text
    return written


TAKEN = "which is defined at a.yaml document 2; rename one of the two"
BAD: list[tuple[str, list[tuple[str, Document]], str]] = [
    (
        "invalid object",
        [("model", {"spec__criticality": "High"})],
        "a.yaml document 1 InferenceModel/review spec.criticality: must be one of Critical, Standard, Sheddable,"
        " got the string 'High'; use one of them",
    ),
    (
        "empty selector",
        [("old pool", {"spec__selector": {}})],
        "a.yaml document 1 InferencePool/llama spec.selector: holds 0 labels; v1 takes 1 to 64;"
        " select the pods by other labels",
    ),
    (
        "empty model name",
        [("model", {"spec__modelName": "", "spec__targetModels": [{"name": "a"}]})],
        "a.yaml document 1 InferenceModel/review spec.modelName: is empty, which no rewrite can match;"
        " give the model a name",
    ),
    (
        "both versions of a pool",
        [("pool", {}), ("old pool", {})],
        "a.yaml document 2 InferencePool/llama: is already defined at a.yaml document 1; remove one of the two",
    ),
    (
        "objective name taken",
        [("model", {"spec__criticality": "Critical"}), ("objective", {"metadata__name": "review"})],
        f"a.yaml document 1 InferenceModel/review metadata.name: would become InferenceObjective/review, {TAKEN}",
    ),
    (
        "rewrite name taken",
        [
            ("model", {"spec__targetModels": [{"name": "a"}]}),
            (
                "rewrite",
                {
                    "metadata__name": "review",
                    "spec__rules": [
                        {"matches": [{"model": {"value": "x"}}], "targets": [{"modelRewrite": "y"}]},
                    ],
                },
            ),
        ],
        f"a.yaml document 1 InferenceModel/review metadata.name: would become InferenceModelRewrite/review, {TAKEN}",
    ),
    (
        "misspelt kind",
        [("model", {"kind": "InferenceModle"})],
        "a.yaml document 1 InferenceModle/review kind: 'InferenceModle' is not a known kind;"
        " did you mean 'InferenceModel'?",
    ),
    (
        "no version",
        [("model", {"apiVersion": None})],
        "a.yaml document 1 InferenceModel/review apiVersion: is required; write it like 'apiVersion: v1'",
    ),
]


@pytest.mark.parametrize(("documents_given", "said"), [pytest.param(*case[1:], id=case[0]) for case in BAD])
def test_bad_input_is_said(text: Texts, documents_given: list[tuple[str, Document]], said: str) -> None:
    assert complaints(*(text(which, **changes) for which, changes in documents_given)) == [said]


def test_everything_wrong_is_said_at_once(text: Texts) -> None:
    assert len(complaints(text("model", spec__criticality="High"), text("old pool", spec__selector={}))) == 2
