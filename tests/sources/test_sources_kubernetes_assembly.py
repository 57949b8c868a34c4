"""What the pool is told of what collections hold: in which order, and which of two objects."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.cluster import Put, Removed
from signalbox.pool import Pool
from signalbox.resources import EXPERIMENTAL_GROUP, LLM_D_GROUP, STABLE_GROUP
from signalbox.sources.kubernetes.assembly import Assembly
from signalbox.sources.kubernetes.kinds import POLICIES, POOLS, PolicyKind, pod_collection
from signalbox.sources.kubernetes.records import PodRecord, PolicyRecord

POOL_SPEC = {
    "selector": {"matchLabels": {"app": "llm"}},
    "targetPorts": [{"number": 8000}],
    "endpointPickerRef": {"name": "epp", "port": {"number": 9002}},
}
OLD_POOL_SPEC = {"selector": {"app": "llm"}, "targetPortNumber": 8001, "extensionRef": {"name": "epp"}}


def kind(name: str, group: str) -> PolicyKind:
    return next(kind for kind in (*POOLS, *POLICIES) if (kind.kind, kind.group) == (name, group))


STABLE_POOL, OLD_POOL = kind("InferencePool", STABLE_GROUP), kind("InferencePool", EXPERIMENTAL_GROUP)
MODEL = kind("InferenceModel", EXPERIMENTAL_GROUP)
OBJECTIVE, OLD_OBJECTIVE = kind("InferenceObjective", LLM_D_GROUP), kind("InferenceObjective", EXPERIMENTAL_GROUP)


class World:
    """An assembly and its pool, told of objects as an API server writes them."""

    def __init__(self) -> None:
        self.pool = Pool("pool", "ns")
        self.assembly = Assembly(self.pool)

    def put(self, kind: PolicyKind, name: str, spec: Any, **meta: Any) -> None:
        """An object is there."""
        metadata = {"name": name, "namespace": "ns", "resourceVersion": "1", "managedFields": [{"manager": "x"}]} | meta
        record = msgspec.convert({"metadata": metadata, "spec": spec, "status": {"parents": []}}, PolicyRecord)
        self.assembly.policies_changed(kind, kind.collection("ns"), [Put(record)])

    def remove(self, kind: PolicyKind, name: str) -> None:
        """It is not."""
        self.assembly.policies_changed(kind, kind.collection("ns"), [Removed(name)])

    def pod(self, name: str, ip: str, selector: str = "app=llm", ready: str = "True", **meta: Any) -> None:
        """A pod is there, with labels that ``selector`` selects."""
        labels = dict(pair.split("=") for pair in selector.split(","))
        record = msgspec.convert(
            {
                "metadata": {"name": name, "namespace": "ns", "labels": labels} | meta,
                "spec": {"containers": [{"name": "c", "futureField": 1}]},
                "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": ready, "reason": None}]},
            },
            PodRecord,
        )
        self.assembly.pods_changed(pod_collection("ns", labels), selector, [Put(record)])

    @property
    def addresses(self) -> list[str]:
        """Where the pool's endpoints are."""
        return sorted(endpoint.address for endpoint in self.pool.endpoints)


@pytest.fixture
def world() -> World:
    """A pool with one pod, in force."""
    world = World()
    world.put(STABLE_POOL, "pool", POOL_SPEC)
    world.pod("a", "10.0.0.1")
    assert world.assembly.flush("app=llm")
    return world


def test_a_pool_its_pods_and_models_are_told(world: World) -> None:
    world.put(MODEL, "m", {"modelName": "food", "poolRef": {"name": "pool"}})
    assert world.assembly.flush("app=llm")
    assert world.addresses == ["10.0.0.1:8000"]
    assert world.pool.catalogue.names == ("food",)


def test_nothing_is_told_twice(world: World) -> None:
    assert not world.assembly.flush("app=llm")
    world.pod("a", "10.0.0.1")
    world.put(STABLE_POOL, "pool", POOL_SPEC, resourceVersion="2")
    version = world.pool.version
    assert not world.assembly.flush("app=llm")
    assert world.pool.version == version


def test_a_pool_waits_for_its_pods() -> None:
    world = World()
    world.put(STABLE_POOL, "pool", POOL_SPEC)
    assert not world.assembly.flush(None)
    assert world.pool.spec is None
    world.pod("a", "10.0.0.1")
    world.assembly.flush("app=llm")
    assert world.addresses == ["10.0.0.1:8000"]


def test_a_new_selector_takes_the_place_of_the_old_one_together_with_its_pods(world: World) -> None:
    world.put(STABLE_POOL, "pool", POOL_SPEC | {"selector": {"matchLabels": {"app": "new"}}})
    world.pod("b", "10.0.0.2", selector="app=new")
    world.assembly.flush(None)  # the pods of the new one are not all known yet
    assert world.addresses == ["10.0.0.1:8000"]
    world.pod("c", "10.0.0.3")
    world.assembly.flush(None)
    assert world.addresses == ["10.0.0.1:8000", "10.0.0.3:8000"]
    assert world.assembly.flush("app=new")
    assert world.addresses == ["10.0.0.2:8000"]
    world.assembly.forget_pods("app=llm")
    world.pod("d", "10.0.0.4", selector="app=new")
    world.assembly.flush("app=new")
    assert world.addresses == ["10.0.0.2:8000", "10.0.0.4:8000"]


def test_a_pod_that_both_selectors_select_keeps_its_row(world: World) -> None:
    row = world.pool.endpoints[0].row
    world.put(STABLE_POOL, "pool", POOL_SPEC | {"selector": {"matchLabels": {"app": "llm", "tier": "1"}}})
    world.pod("a", "10.0.0.1", selector="app=llm,tier=1")
    world.assembly.flush("app=llm,tier=1")
    assert [endpoint.row for endpoint in world.pool.endpoints] == [row]


def test_a_pool_that_goes_has_no_endpoints_and_has_them_when_it_is_back(world: World) -> None:
    world.remove(STABLE_POOL, "pool")
    assert world.assembly.flush(None)
    assert world.pool.spec is None
    assert world.addresses == []
    world.put(STABLE_POOL, "pool", POOL_SPEC)
    world.assembly.flush("app=llm")
    assert world.addresses == ["10.0.0.1:8000"]


def test_what_is_on_its_way_out_is_gone(world: World) -> None:
    world.put(MODEL, "m", {"modelName": "food", "poolRef": {"name": "pool"}}, deletionTimestamp="2025-01-01T00:00:00Z")
    world.put(STABLE_POOL, "pool", POOL_SPEC, deletionTimestamp="2025-01-01T00:00:00Z")
    world.assembly.flush(None)
    assert world.pool.spec is None
    assert world.pool.catalogue.open


def test_of_two_groups_pools_the_stable_one_counts(world: World) -> None:
    world.put(OLD_POOL, "pool", OLD_POOL_SPEC)
    world.assembly.flush("app=llm")
    assert world.addresses == ["10.0.0.1:8000"]
    world.remove(STABLE_POOL, "pool")
    world.assembly.flush("app=llm")
    assert world.addresses == ["10.0.0.1:8001"]


def test_of_two_groups_objectives_the_newer_one_counts(world: World) -> None:
    world.put(OLD_OBJECTIVE, "o", {"priority": 1, "poolRef": {"name": "pool"}})
    world.put(OBJECTIVE, "o", {"priority": 2, "poolRef": {"name": "pool"}})
    world.assembly.flush("app=llm")
    assert world.pool.catalogue.priority_of("o") == 2
    world.remove(OBJECTIVE, "o")
    world.assembly.flush("app=llm")
    assert world.pool.catalogue.priority_of("o") == 1


def test_another_pools_object_of_our_kind_is_not_ours(world: World) -> None:
    world.put(STABLE_POOL, "other", POOL_SPEC | {"targetPorts": [{"number": 1}]})
    world.put(MODEL, "theirs", {"modelName": "x", "poolRef": {"name": "other"}})
    world.assembly.flush("app=llm")
    assert world.addresses == ["10.0.0.1:8000"]
    assert world.pool.catalogue.open


def test_an_object_that_is_refused_leaves_the_last_good_one_in_force_and_is_listed(world: World) -> None:
    good = {"modelName": "food", "poolRef": {"name": "pool"}}
    world.put(MODEL, "m", good)
    mixed = [{"name": "a", "weight": 1}, {"name": "b"}]
    world.put(MODEL, "m", good | {"targetModels": mixed})
    world.put(MODEL, "never", {"poolRef": {"name": "pool"}})
    world.assembly.flush("app=llm")
    assert world.pool.catalogue.names == ("food",)
    place = "/apis/inference.networking.x-k8s.io/v1alpha2/namespaces/ns/inferencemodels"
    assert world.assembly.problems == [
        f"{place} InferenceModel/m spec.targetModels[1].weight: is missing while other targetModels have one; "
        "set weights for all target models, or for none of them",
        f"{place} InferenceModel/never spec.modelName: is required; add modelName",
    ]
    world.put(MODEL, "m", good)
    world.remove(MODEL, "never")
    assert world.assembly.problems == []


def test_a_models_name_stays_for_as_long_as_it_is_the_same_object(world: World) -> None:
    """API servers before 1.25 let it be edited."""
    world.put(MODEL, "m", {"modelName": "food", "poolRef": {"name": "pool"}}, uid="u-1")
    drinks = {"modelName": "drinks", "poolRef": {"name": "pool"}}
    world.put(MODEL, "m", drinks, uid="u-1")
    world.assembly.flush("app=llm")
    assert world.pool.catalogue.names == ("food",)
    (problem,) = world.assembly.problems
    assert (
        "InferenceModel/m spec.modelName: is immutable: it was the string 'food', now it is the string 'drinks'"
        in problem
    )
    world.put(MODEL, "m", drinks, uid="u-2")  # deleted and created while nobody watched
    world.assembly.flush("app=llm")
    assert world.pool.catalogue.names == ("drinks",)
    assert world.assembly.problems == []


def test_a_refused_pod_that_is_not_ready_any_more_is_no_endpoint(world: World) -> None:
    world.pod("a", "nonsense")
    world.assembly.flush("app=llm")
    assert world.addresses == ["10.0.0.1:8000"]
    world.pod("a", "nonsense", ready="False")
    world.assembly.flush("app=llm")
    assert world.addresses == []
    assert len(world.assembly.problems) == 1


def test_refused_pods_are_forgotten_with_their_selector(world: World) -> None:
    world.pod("b", "nonsense")
    world.put(STABLE_POOL, "pool", POOL_SPEC | {"selector": {"matchLabels": {"app": "new"}}})
    world.pod("b", "nonsense", selector="app=new")
    world.assembly.flush("app=new")
    assert len(world.assembly.problems) == 1, "one pod, though two selectors select it"
    world.assembly.forget_pods("app=llm")
    assert len(world.assembly.problems) == 1
    world.assembly.forget_pods("app=new")
    assert world.assembly.problems == []


def test_a_field_of_a_newer_release_is_left_out_and_said(world: World) -> None:
    spec = POOL_SPEC | {"targetPorts": [{"number": 9000, "protocol": "QUIC"}], "shape": {"round": True}}
    world.put(STABLE_POOL, "pool", spec)
    world.assembly.flush("app=llm")
    assert world.addresses == ["10.0.0.1:9000"]
    assert [problem.partition("InferencePool/pool ")[2] for problem in world.assembly.problems] == [
        "spec.targetPorts[0].protocol: is a field of a newer release and left out; upgrade signalbox, or remove it",
        "spec.shape: is a field of a newer release and left out; upgrade signalbox, or remove it",
    ]


def test_a_pod_may_hold_whatever_its_cluster_knows(world: World) -> None:
    world.pod("b", "10.0.0.2", annotations={"other": "x", "signalbox.dev/port": "9"}, ownerReferences=[{"uid": "1"}])
    world.assembly.flush("app=llm")
    assert world.addresses == ["10.0.0.1:8000", "10.0.0.2:9"]
    assert world.assembly.problems == []


def test_a_pod_without_an_address_is_listed_only_if_the_address_makes_no_sense(world: World) -> None:
    world.pod("b", "")
    world.pod("c", "not an address")
    world.assembly.flush("app=llm")
    assert world.addresses == ["10.0.0.1:8000"]
    (problem,) = world.assembly.problems
    assert "Pod/c status.podIP: 'not an address' is not an IP address" in problem


def test_unready_terminating_and_removed_pods_leave(world: World) -> None:
    for name, ip in (("b", "10.0.0.2"), ("c", "10.0.0.3"), ("d", "10.0.0.4")):
        world.pod(name, ip)
    world.assembly.flush("app=llm")
    world.pod("b", "10.0.0.2", ready="False")
    world.pod("c", "10.0.0.3", deletionTimestamp="2025-01-01T00:00:00Z")
    world.assembly.pods_changed(pod_collection("ns", {"app": "llm"}), "app=llm", [Removed("d")])
    assert world.assembly.flush("app=llm")
    assert world.addresses == ["10.0.0.1:8000"]


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["pod", "unpod", "stable", "old", "unstable", "unold", "flush"]),
        st.sampled_from(["app=llm", "app=new", "app=llm,tier=1"]),
        st.sampled_from("abc"),
    ),
    max_size=40,
)


@given(CHANGES)
def test_whatever_the_order_the_pool_ends_up_with_what_there_is(changes: list[tuple[str, str, str]]) -> None:
    world = World()
    pools: dict[str, str] = {}
    pods: dict[tuple[str, str], str] = {}
    for doing, selector, name in [*changes, ("flush", "", "")]:
        labels = dict(pair.split("=") for pair in selector.split(",")) if selector else {}
        match doing:
            case "pod":
                pods[selector, name] = f"10.0.0.{'abc'.index(name)}"
                world.pod(name, pods[selector, name], selector=selector)
            case "unpod":
                pods.pop((selector, name), None)
                world.assembly.pods_changed(pod_collection("ns", labels), selector, [Removed(name)])
            case "stable":
                pools["stable"] = selector
                world.put(STABLE_POOL, "pool", POOL_SPEC | {"selector": {"matchLabels": labels}})
            case "old":
                pools["old"] = selector
                world.put(OLD_POOL, "pool", OLD_POOL_SPEC | {"selector": labels})
            case "unstable":
                pools.pop("stable", None)
                world.remove(STABLE_POOL, "pool")
            case "unold":
                pools.pop("old", None)
                world.remove(OLD_POOL, "pool")
            case _:
                chosen = pools.get("stable", pools.get("old"))
                world.assembly.flush(chosen)
                port = 8000 if "stable" in pools else 8001
                assert world.addresses == sorted(f"{ip}:{port}" for (of, _), ip in pods.items() if of == chosen)


def test_which_of_two_groups_objects_is_not_used_is_said_while_there_are_two(world: World) -> None:
    world.put(OLD_OBJECTIVE, "x", {"priority": 5, "poolRef": {"name": "pool"}})
    assert world.assembly.problems == []
    world.put(OBJECTIVE, "x", {"priority": -5, "poolRef": {"name": "pool"}})
    world.put(OBJECTIVE, "y", {"priority": 1, "poolRef": {"name": "pool"}})
    assert world.assembly.problems == [
        f"InferenceObjective ns/x of {EXPERIMENTAL_GROUP} is not used: the one of {LLM_D_GROUP} with that name counts;"
        " delete one of the two"
    ]
    world.remove(OLD_OBJECTIVE, "x")
    assert world.assembly.problems == []
