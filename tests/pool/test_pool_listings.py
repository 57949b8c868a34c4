"""Which server has which model, and what follows from it for targets."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from signalbox.pool import Endpoint, ModelList, Pool
from signalbox.pool.listings import able
from signalbox.pool.split import STICKY_ANNOTATION


def lists(pool: Pool, endpoint: Endpoint, *adapters: str) -> None:
    pool.record_models(endpoint, ModelList(frozenset({"base", *adapters}), frozenset(adapters)))


def drawn(pool: Pool, count: int = 100) -> Counter[str]:
    return Counter(found.target for _ in range(count) if (found := pool.catalogue.resolve("m")))


def who(pool: Pool, target: str) -> list[str]:
    return [pool.endpoint(row).pod for row in able(pool.columns, target, pool.rows).tolist()]


@pytest.fixture
def canary(build_pool: Any, objects: Any) -> Pool:
    model = objects.model("m", (("stable", 90), ("canary", 10)))
    pool: Pool = build_pool((0, 0, set()), (0, 0, set()), resources=(model,))
    return pool


def test_while_no_list_is_known_the_weights_hold(canary: Pool) -> None:
    assert drawn(canary) == {"stable": 90, "canary": 10}
    assert canary.held_back() == ()


def test_a_target_that_is_loaded_nowhere_gets_no_traffic_and_the_status_says_so(canary: Pool) -> None:
    first, second = canary.endpoints
    lists(canary, first, "stable")
    assert drawn(canary) == {"stable": 100}
    (held,) = canary.held_back()
    assert (held.owner.name, held.target) == ("m", "canary")
    assert str(held) == (
        "InferenceModel default/m: target 'canary' gets no traffic: no ready server lists it among its models; load it,"
        " or correct its name"
    )
    lists(canary, second, "canary")
    assert drawn(canary) == {"stable": 90, "canary": 10}
    assert canary.held_back() == ()


def test_a_base_model_that_somebody_lists_is_loaded(build_pool: Any, objects: Any) -> None:
    pool = build_pool((0, 0, set()), resources=(objects.model("m", (("base", 1), ("canary", 1))),))
    lists(pool, pool.endpoints[0], "canary")
    assert pool.held_back() == ()


def test_where_no_target_is_loaded_all_keep_their_weights(canary: Pool) -> None:
    lists(canary, canary.endpoints[0], "something-else")
    assert drawn(canary) == {"stable": 90, "canary": 10}
    assert canary.held_back() == ()


def test_an_edit_while_a_target_is_held_back_keeps_it_so(canary: Pool, objects: Any) -> None:
    lists(canary, canary.endpoints[0], "stable")
    canary.put(objects.model("m", (("stable", 10), ("canary", 90))))
    assert drawn(canary) == {"stable": 100}
    assert len(canary.held_back()) == 1


def test_the_rules_of_a_rewrite_hold_back_as_well(build_pool: Any, objects: Any) -> None:
    rewrite = objects.rewrite("split", (("m",), (("stable", 1), ("canary", 1))), (("n",), (("canary", 1),)))
    pool = build_pool((0, 0, set()), resources=(rewrite,))
    lists(pool, pool.endpoints[0], "stable")
    assert drawn(pool) == {"stable": 100}
    assert [str(held).partition(":")[0] for held in pool.held_back()] == ["InferenceModelRewrite default/split"]
    alone = pool.catalogue.resolve("n")
    assert alone is not None
    assert alone.target == "canary"


def test_when_the_only_server_that_has_a_target_leaves_it_is_held_back_again(canary: Pool, objects: Any) -> None:
    first, second = canary.endpoints
    lists(canary, first, "stable")
    lists(canary, second, "stable", "canary")
    assert canary.held_back() == ()
    canary.put(objects.pod(second.pod, second.host, ready=False))
    assert canary.endpoints == (first,)
    assert drawn(canary) == {"stable": 100}


def test_a_refusal_counts_until_the_next_list(canary: Pool) -> None:
    first, second = canary.endpoints
    lists(canary, first, "stable", "canary")
    lists(canary, second, "stable", "canary")
    canary.model_refused(first, "canary")
    assert who(canary, "canary") == [second.pod]
    canary.model_refused(second, "canary")
    canary.model_refused(second, "canary")
    assert drawn(canary) == {"stable": 100}
    lists(canary, second, "stable", "canary")
    assert canary.held_back() == ()


def test_requests_may_go_where_the_model_is_listed_or_nothing_is_known(build_pool: Any) -> None:
    pool = build_pool(*[(0, 0, set())] * 3)
    first, second, third = pool.endpoints
    assert who(pool, "a") == [first.pod, second.pod, third.pod]
    lists(pool, first, "a")
    lists(pool, second, "b")
    assert who(pool, "a") == [first.pod, third.pod]
    assert who(pool, "base") == [first.pod, second.pod, third.pod]
    assert who(pool, "nobody-has-it") == [first.pod, second.pod, third.pod]
    pool.record_models(second, None)
    assert who(pool, "a") == [first.pod, second.pod, third.pod]


def test_where_a_subset_has_nobody_with_the_model_it_is_left_alone(build_pool: Any) -> None:
    pool = build_pool((0, 0, set()), (0, 0, set()))
    first, second = pool.endpoints
    lists(pool, first, "a")
    lists(pool, second)
    only_second = pool.subset((second.address,))
    assert able(pool.columns, "a", only_second).tolist() == [second.row]


def test_only_names_that_are_listed_as_adapters_are_adapters(build_pool: Any) -> None:
    pool = build_pool((0, 0, set()), (0, 0, set()))
    first, second = pool.endpoints
    lists(pool, first, "a")
    lists(pool, second, "a")
    assert [pool.columns.is_adapter(name) for name in ("a", "base", "b")] == [True, False, False]
    pool.record_models(first, None)
    assert pool.columns.is_adapter("a")
    lists(pool, second)
    assert not pool.columns.is_adapter("a")


def test_targets_are_what_requests_are_sent_on_under(objects: Any, build_pool: Any) -> None:
    pool = build_pool((0, 0, set()))
    assert pool.catalogue.targets == frozenset()
    pool.put(objects.model("base"))
    assert pool.catalogue.targets == frozenset()
    pool.put(objects.model("m", (("a", None),)))
    pool.put(objects.rewrite("r", ((), (("b", 1), ("c", 2)))))
    assert pool.catalogue.targets == {"a", "b", "c"}


def test_an_annotation_makes_the_choice_stick_to_a_header(objects: Any, build_pool: Any) -> None:
    pool = build_pool((0, 0, set()))
    model = objects.model("m", (("a", 1), ("b", 1)))
    pool.put(model)
    assert not pool.catalogue.sticky
    annotated = model.model_copy(
        update={"metadata": model.metadata.model_copy(update={"annotations": {STICKY_ANNOTATION: "X-User"}})}
    )
    pool.put(annotated)
    assert pool.catalogue.sticky
    for user in ("ann", "ben", "eve"):
        found = {pool.catalogue.resolve("m", headers={"x-user": user}) for _ in range(10)}
        assert len(found) == 1
    pool.put(model)
    assert not pool.catalogue.sticky


class TestAFlipToTargetsThatAreNotLoaded:
    """The targets of before go on until one of the new ones is loaded."""

    @pytest.fixture
    def pool(self, build_pool: Any, objects: Any) -> Pool:
        built: Pool = build_pool((0, 0, set()), (0, 0, set()), resources=(objects.model("m", (("v1", 100),)),))
        for endpoint in built.endpoints:
            lists(built, endpoint, "v1")
        assert drawn(built) == {"v1": 100}
        return built

    def test_of_one_target(self, pool: Pool, objects: Any) -> None:
        pool.put(objects.model("m", (("v2", 100),)))
        assert drawn(pool) == {"v1": 100}
        (held,) = pool.held_back()
        assert "target 'v2' gets no traffic" in str(held)
        assert "until then requests still go to 'v1'; load it, or correct its name" in str(held)
        assert pool.unloaded() == ()
        lists(pool, pool.endpoints[0], "v1", "v2")
        assert drawn(pool) == {"v2": 100}
        assert pool.held_back() == ()

    def test_of_several(self, pool: Pool, objects: Any) -> None:
        pool.put(objects.model("m", (("v2", 50), ("v3", 50))))
        assert drawn(pool) == {"v1": 100}
        assert [held.target for held in pool.held_back()] == ["v2", "v3"]
        lists(pool, pool.endpoints[0], "v1", "v3")
        assert drawn(pool) == {"v3": 100}

    def test_again_and_again(self, pool: Pool, objects: Any) -> None:
        for version in ("v2", "v3", "v4"):
            pool.put(objects.model("m", ((version, 100),)))
            assert drawn(pool) == {"v1": 100}
        lists(pool, pool.endpoints[0], "v4")
        assert drawn(pool) == {"v4": 100}

    def test_and_back(self, pool: Pool, objects: Any) -> None:
        pool.put(objects.model("m", (("v2", 100),)))
        assert drawn(pool) == {"v1": 100}
        pool.put(objects.model("m", (("v1", 100),)))
        assert drawn(pool) == {"v1": 100}
        assert pool.held_back() == ()

    def test_keeps_the_shares_of_before(self, pool: Pool, objects: Any) -> None:
        lists(pool, pool.endpoints[0], "v1", "w1")
        pool.put(objects.model("m", (("v1", 90), ("w1", 10))))
        assert drawn(pool) == {"v1": 90, "w1": 10}
        pool.put(objects.model("m", (("v2", 50), ("w2", 50))))
        assert drawn(pool) == {"v1": 90, "w1": 10}

    def test_ends_when_the_old_ones_are_unloaded(self, pool: Pool, objects: Any) -> None:
        pool.put(objects.model("m", (("v2", 100),)))
        assert drawn(pool) == {"v1": 100}
        for endpoint in pool.endpoints:
            lists(pool, endpoint)
        assert drawn(pool) == {"v2": 100}
        (found,) = pool.unloaded()
        assert "no target is loaded anywhere: requests get the server's 404; load 'v2'" in str(found)

    def test_is_over_once_a_new_one_was_loaded(self, pool: Pool, objects: Any) -> None:
        """An adapter that is unloaded later was meant to go; what came before it does not return."""
        pool.put(objects.model("m", (("v2", 100),)))
        lists(pool, pool.endpoints[0], "v1", "v2")
        assert drawn(pool) == {"v2": 100}
        lists(pool, pool.endpoints[0], "v1")
        assert drawn(pool) == {"v2": 100}
        assert len(pool.unloaded()) == 1

    def test_from_the_models_own_name(self, pool: Pool, objects: Any) -> None:
        for endpoint in pool.endpoints:
            lists(pool, endpoint, "m")
        pool.put(objects.model("m"))
        assert drawn(pool) == {"m": 100}
        pool.put(objects.model("m", (("v2", 100),)))
        assert drawn(pool) == {"m": 100}

    def test_of_a_rewrite_rule_whose_place_changes(self, pool: Pool, objects: Any) -> None:
        pool.remove(objects.model("m").key)
        pool.put(objects.rewrite("r", (("m",), (("v1", 1),)), (("n",), (("base", 1),))))
        assert drawn(pool) == {"v1": 100}
        pool.put(objects.rewrite("r", (("n",), (("base", 1),)), (("m",), (("v2", 1),))))
        assert drawn(pool) == {"v1": 100}
        resolution = pool.catalogue.resolve("n")
        assert resolution is not None
        assert resolution.target == "base"

    def test_of_an_object_that_never_had_a_loaded_one_is_a_404_that_is_said(self, pool: Pool, objects: Any) -> None:
        pool.put(objects.model("new", (("w1", 1), ("w2", 1)), name="new"))
        (found,) = pool.unloaded()
        assert str(found) == (
            "InferenceModel default/new: no target is loaded anywhere: requests get the server's 404; load 'w1' or"
            " 'w2', or correct the name"
        )
        pool.put(objects.model("new", (("w3", 1),), name="new"))
        lists(pool, pool.endpoints[0], "v1", "w1")
        resolution = pool.catalogue.resolve("new")
        assert resolution is not None
        assert resolution.target == "w3"  # w1 never served it


def test_targets_that_another_object_overrules_are_not_told_as_missing(build_pool: Any, objects: Any) -> None:
    """Requests never come to them."""
    model = objects.model("m", (("v8", 1), ("v9", 1)))
    old = objects.rewrite("old", (("m",), (("v1", 1), ("v7", 1))), created="2026-01-01T00:00:00Z")
    new = objects.rewrite("new", (("m",), (("v6", 1),)), created="2026-02-01T00:00:00Z")
    pool = build_pool((0, 0, set()), resources=(model, old, new))
    lists(pool, pool.endpoints[0], "v1", "v8")
    assert [(held.owner.name, held.target) for held in pool.held_back()] == [("old", "v7")]
    assert pool.unloaded() == ()
    pool.remove(old.key)
    assert [(found.owner.name, found.targets) for found in pool.unloaded()] == [("new", ("v6",))]
    pool.put(objects.rewrite("new", ((), (("v1", 1),))))
    assert (pool.unloaded(), pool.held_back()) == ((), ())
    pool.remove(new.key)
    assert [(held.owner.kind, held.target) for held in pool.held_back()] == [("InferenceModel", "v9")]
