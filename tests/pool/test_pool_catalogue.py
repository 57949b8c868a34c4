"""Which names a pool serves and what they mean."""

from __future__ import annotations

from collections import Counter
from typing import Any

from signalbox.pool import Catalogue, Resolution


def test_a_pool_without_models_passes_every_name_through(objects: Any) -> None:
    catalogue = Catalogue()
    assert catalogue.open
    assert catalogue.resolve("anything") == Resolution("anything", 0)


def test_a_model_without_targets_is_its_own_target(objects: Any) -> None:
    catalogue = Catalogue()
    catalogue.put(objects.model("base", criticality="Critical"))
    assert catalogue.resolve("base") == Resolution("base", 1)


def test_criticality_becomes_priority_and_unset_means_standard(objects: Any) -> None:
    catalogue = Catalogue()
    for name, criticality in [("c", "Critical"), ("s", "Standard"), ("u", None), ("x", "Sheddable")]:
        catalogue.put(objects.model(name, criticality=criticality))
    priorities = {name: resolution.priority for name in "csux" if (resolution := catalogue.resolve(name))}
    assert priorities == {"c": 1, "s": 0, "u": 0, "x": -1}


def test_an_unknown_name_is_unknown_once_models_are_declared(objects: Any) -> None:
    catalogue = Catalogue()
    catalogue.put(objects.model("food-review", (("food-review-1", 100),)))
    assert catalogue.resolve("nobody") is None
    assert catalogue.names == ("food-review",)


def test_targets_are_drawn_by_weight(objects: Any) -> None:
    catalogue = Catalogue()
    catalogue.put(objects.model("m", (("m-1", 90), ("m-2", 10))))
    drawn = Counter(r.target for _ in range(1000) if (r := catalogue.resolve("m")))
    assert drawn == {"m-1": 900, "m-2": 100}


def test_an_edit_that_leaves_the_weights_alone_does_not_restart_the_rotation(objects: Any) -> None:
    catalogue = Catalogue()
    drawn = []
    for turn in range(4):
        catalogue.put(objects.model("m", (("m-1", 3), ("m-2", 1)), criticality="Critical" if turn % 2 else "Standard"))
        resolution = catalogue.resolve("m")
        assert resolution is not None
        drawn.append(resolution.target)
    assert Counter(drawn) == {"m-1": 3, "m-2": 1}


def test_of_two_with_one_model_name_the_older_wins_and_the_other_is_reported(objects: Any) -> None:
    catalogue = Catalogue()
    catalogue.put(objects.model("m", (("from-a", 1),), name="a"))
    catalogue.put(objects.model("m", (("from-b", 1),), name="b"))
    assert catalogue.resolve("m") == Resolution("from-a", 0)
    assert [(c.winner.name, c.loser.name) for c in catalogue.conflicts] == [("a", "b")]
    assert "InferenceModel default/b is not used: modelName 'm' belongs to the older default/a" in str(
        catalogue.conflicts[0]
    )


def test_creation_time_beats_order_of_arrival(objects: Any) -> None:
    catalogue = Catalogue()
    catalogue.put(objects.model("m", (("newer", 1),), name="a", created="2026-02-01T00:00:00Z"))
    catalogue.put(objects.model("m", (("older", 1),), name="b", created="2026-01-01T00:00:00Z"))
    assert catalogue.resolve("m") == Resolution("older", 0)


def test_when_the_winner_goes_the_next_oldest_is_promoted(objects: Any) -> None:
    catalogue = Catalogue()
    first = objects.model("m", (("from-a", 1),), name="a")
    catalogue.put(first)
    catalogue.put(objects.model("m", (("from-b", 1),), name="b"))
    catalogue.remove(first.key)
    assert catalogue.resolve("m") == Resolution("from-b", 0)
    assert catalogue.conflicts == ()


def test_a_replaced_object_keeps_its_age(objects: Any) -> None:
    catalogue = Catalogue()
    catalogue.put(objects.model("m", (("from-a", 1),), name="a"))
    catalogue.put(objects.model("m", (("from-b", 1),), name="b"))
    catalogue.put(objects.model("m", (("edited", 1),), name="a"))
    assert catalogue.resolve("m") == Resolution("edited", 0)


def test_removing_what_is_not_there_does_nothing(objects: Any) -> None:
    catalogue = Catalogue()
    catalogue.remove(objects.model("m").key)
    assert catalogue.open


def test_an_objective_sets_the_priority_and_an_unknown_one_does_not(objects: Any) -> None:
    catalogue = Catalogue()
    catalogue.put(objects.model("m", criticality="Critical"))
    catalogue.put(objects.objective("batch", -5))
    catalogue.put(objects.objective("plain", None))
    assert catalogue.resolve("m", objective="batch") == Resolution("m", -5)
    assert catalogue.resolve("m", objective="plain") == Resolution("m", 0)
    assert catalogue.resolve("m", objective="no-such") == Resolution("m", 1)


def test_an_exact_rewrite_beats_a_generic_one_and_the_header(objects: Any) -> None:
    catalogue = Catalogue()
    catalogue.put(objects.rewrite("generic", ((), (("fallback", 1),))))
    catalogue.put(objects.rewrite("exact", (("m",), (("rewritten", 1),))))
    assert catalogue.resolve("m", rewrite="by-header") == Resolution("rewritten", 0, "exact")
    assert catalogue.resolve("other") == Resolution("fallback", 0, "generic")


def test_the_rewrite_header_holds_where_no_rule_matches(objects: Any) -> None:
    catalogue = Catalogue()
    catalogue.put(objects.model("m", (("m-1", 1),), criticality="Sheddable"))
    assert catalogue.resolve("m", rewrite="by-header") == Resolution("by-header", -1)


def test_of_two_exact_rewrites_the_oldest_wins_and_within_one_the_first_rule(objects: Any) -> None:
    catalogue = Catalogue()
    catalogue.put(objects.rewrite("young", (("m",), (("young", 1),)), created="2026-03-01T00:00:00Z"))
    catalogue.put(
        objects.rewrite("old", (("m",), (("first", 1),)), (("m",), (("second", 1),)), created="2026-01-01T00:00:00Z")
    )
    assert catalogue.resolve("m") == Resolution("first", 0, "old")


def test_a_rewrite_splits_by_weight_and_makes_its_name_known(objects: Any) -> None:
    catalogue = Catalogue()
    catalogue.put(objects.model("declared"))
    catalogue.put(objects.rewrite("r", (("m",), (("a", 70), ("b", 30)))))
    drawn = Counter(r.target for _ in range(100) if (r := catalogue.resolve("m")))
    assert drawn == {"a": 70, "b": 30}
    assert catalogue.names == ("declared", "m")


def test_deleting_an_exact_rewrite_falls_back_to_the_generic_one(objects: Any) -> None:
    catalogue = Catalogue()
    exact = objects.rewrite("exact", (("m",), (("rewritten", 1),)))
    catalogue.put(exact)
    catalogue.put(objects.rewrite("generic", ((), (("fallback", 1),))))
    catalogue.remove(exact.key)
    assert catalogue.resolve("m") == Resolution("fallback", 0, "generic")
