"""A configuration that is wrong in any places is refused in words, each of them once, and what was wrong stays told."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.resources import Origin
from signalbox.scheduling import InvalidPolicy
from signalbox.scheduling.configuration.loader import load_document

GOOD: dict[str, Any] = {
    "apiVersion": "llm-d.ai/v1alpha1",
    "kind": "EndpointPickerConfig",
    "featureGates": ["dataLayer", "flowControl"],
    "plugins": [
        {"type": "queue-scorer"},
        {"name": "affine", "type": "session-affinity-scorer", "parameters": {"strategy": "session_id"}},
        {"type": "always-disagg-pd-decider"},
        {"type": "disagg-profile-handler", "parameters": {"deciders": {"prefill": "always-disagg-pd-decider"}}},
        {"type": "utilization-detector"},
        {"name": "agents", "type": "program-aware-fairness", "parameters": {"lasHalfLifeSeconds": 30}},
    ],
    "schedulingProfiles": [
        {"name": "decode", "plugins": [{"pluginRef": "queue-scorer", "weight": 2}, {"pluginRef": "affine"}]},
        {"name": "prefill", "plugins": [{"pluginRef": "queue-scorer"}]},
    ],
    "saturationDetector": {"pluginRef": "utilization-detector"},
    "requestHandler": {"parsers": [{"pluginRef": "openai-parser"}]},
    "dataLayer": {"sources": [{"pluginRef": "metrics-data-source"}]},
    "flowControl": {
        "defaultRequestTTL": "60s",
        "priorityBands": [{"priority": 1, "maxRequests": "1k", "fairnessPolicyRef": "agents"}],
    },
}


def places(document: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of every value in a document but the document itself."""
    items: list[tuple[str | int, Any]] = []
    if isinstance(document, dict):
        items = list(document.items())
    elif isinstance(document, list):
        items = list(enumerate(document))
    found = [(*path, key) for key, _ in items]
    return found + [deeper for key, value in items for deeper in places(value, (*path, key))]


ODD = st.sampled_from(
    [None, 5, -1, True, "", "zzz", "decode", "(unreadable)", [], [None], ["x"], {}, {"x": 1}, {"name": 5}, [{"x": 1}]]
)


def spoilt(document: dict[str, Any], changes: list[tuple[tuple[str | int, ...], Any]]) -> dict[str, Any]:
    spoiled = copy.deepcopy(document)
    for (*above, last), value in changes:
        holder: Any = spoiled
        try:
            for part in above:
                holder = holder[part]
            holder[last] = value
        except (LookupError, TypeError):
            continue  # an earlier change took its place
    return spoiled


def problems(document: dict[str, Any]) -> list[tuple[str, str]]:
    try:
        load_document(document, Origin("epp.yaml"))
    except InvalidPolicy as invalid:
        return [(problem.field, problem.message) for problem in invalid.problems]
    return []


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(places(GOOD)), ODD), min_size=1, max_size=4))
def test_whatever_is_wrong_is_refused_in_words_and_told_once(changes: list[tuple[tuple[str | int, ...], Any]]) -> None:
    found = problems(spoilt(GOOD, changes))
    assert len(set(found)) == len(found)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(places(GOOD)), ODD)
def test_an_unknown_field_hides_nothing_and_adds_nothing(place: tuple[str | int, ...], value: Any) -> None:
    document = spoilt(GOOD, [(place, value)])
    before = problems(document)
    after = problems({**document, "extra": 1})
    assert sorted(field for field, _ in after) == sorted([*(field for field, _ in before), "extra"])


def test_the_document_these_start_from_is_good() -> None:
    assert problems(GOOD) == []
