"""What the objects of a pool come to."""

from __future__ import annotations

from typing import Any

from signalbox.pool import Catalogue, Inventory


def inventory(*resources: Any) -> Inventory:
    catalogue = Catalogue()
    for resource in resources:
        catalogue.put(resource)
    return catalogue.inventory


def served(found: Inventory) -> dict[str, tuple[str, tuple[tuple[str, int | None], ...], str]]:
    return {model.name: (model.source, model.targets, model.criticality) for model in found.models}


def test_nothing_comes_to_nothing() -> None:
    assert inventory() == Inventory((), (), ())


def test_models_are_listed_with_targets_weights_and_criticality(objects: Any) -> None:
    found = inventory(
        objects.model("food-review", (("v1", 90), ("v2", 10)), criticality="Critical"), objects.model("base")
    )
    assert served(found) == {
        "base": ("InferenceModel base", (("base", None),), "Standard"),
        "food-review": ("InferenceModel food-review", (("v1", 90), ("v2", 10)), "Critical"),
    }
    assert found.overruled == ()


def test_of_two_models_with_one_name_the_older_serves_it(objects: Any) -> None:
    young = objects.model("m", name="b", created="2026-02-01T00:00:00Z")
    old = objects.model("m", name="a", created="2026-01-01T00:00:00Z")
    found = inventory(young, old)
    assert served(found)["m"][0] == "InferenceModel a"
    assert found.overruled == (
        "InferenceModel default/b is not used: modelName 'm' belongs to the older default/a; give it another modelName"
        " or delete one of the two",
    )


def test_a_rewrite_takes_the_place_of_a_models_targets_and_keeps_its_criticality(objects: Any) -> None:
    found = inventory(
        objects.model("m", (("v1", 1),), criticality="Sheddable"),
        objects.rewrite("canary", (("m",), (("v2", 50), ("v3", 50)))),
    )
    assert served(found) == {"m": ("InferenceModelRewrite canary", (("v2", 50), ("v3", 50)), "Sheddable")}
    (sentence,) = found.overruled
    assert sentence.startswith(
        "InferenceModel m: its targetModels have no effect, InferenceModelRewrite canary decides"
    )


def test_a_rewrite_of_everything_is_shown_under_a_star_and_at_the_models_it_changes(objects: Any) -> None:
    found = inventory(objects.model("m"), objects.rewrite("all", ((), (("v2", 1),))))
    assert served(found) == {
        "*": ("InferenceModelRewrite all", (("v2", 1),), ""),
        "m": ("InferenceModel m", (("v2", 1),), "Standard"),
    }
    assert found.overruled == ()  # the model declares no targets that could be overruled


def test_the_second_rule_for_a_name_has_no_effect(objects: Any) -> None:
    found = inventory(
        objects.rewrite("old", (("m",), (("v1", 1),)), ((), (("x", 1),)), created="2026-01-01T00:00:00Z"),
        objects.rewrite("new", (("m",), (("v2", 1),)), ((), (("y", 1),)), created="2026-02-01T00:00:00Z"),
    )
    assert {model.name: model.targets for model in found.models} == {"m": (("v1", 1),), "*": (("x", 1),)}
    assert found.overruled == (
        "InferenceModelRewrite new: its rule for 'm' is not used, there is one in the older old; delete one of the two",
        "InferenceModelRewrite new: its rule for every other name is not used, there is one in the older old; delete"
        " one of the two",
    )


def test_two_rules_of_one_object_for_a_name(objects: Any) -> None:
    found = inventory(objects.rewrite("r", (("m",), (("v1", 1),)), (("m",), (("v2", 1),))))
    assert "earlier in the same object" in found.overruled[0]


def test_objectives_are_listed_with_their_priorities(objects: Any) -> None:
    assert inventory(objects.objective("urgent", 5), objects.objective("batch", None)).objectives == (
        ("batch", 0),
        ("urgent", 5),
    )


def test_what_the_inventory_says_is_what_the_catalogue_does(objects: Any) -> None:
    catalogue = Catalogue()
    for resource in (
        objects.model("m", (("v1", 1),)),
        objects.model("n", (("w", 1),)),
        objects.rewrite("r", (("m",), (("v2", 1),))),
    ):
        catalogue.put(resource)
    for model in catalogue.inventory.models:
        resolution = catalogue.resolve(model.name)
        assert resolution is not None
        assert resolution.target in [name for name, _ in model.targets]


def test_the_catalogue_and_the_inventory_tell_of_a_conflict_in_the_same_words(objects: Any) -> None:
    catalogue = Catalogue()
    catalogue.put(objects.model("m", name="a"))
    catalogue.put(objects.model("m", name="b"))
    assert tuple(map(str, catalogue.conflicts)) == catalogue.inventory.overruled
    assert len(catalogue.conflicts) == 1
