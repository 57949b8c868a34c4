"""Why pods are no endpoints."""

from __future__ import annotations

from typing import Any

import pytest

from signalbox.pool import Pool


def pool_of(objects: Any, *pods: Any) -> Pool:
    pool = Pool("pool")
    pool.set_pool(objects.pool())
    for pod in pods:
        pool.put(pod)
    return pool


def reasons(pool: Pool) -> dict[str, tuple[str, ...]]:
    return {pod.pod: pod.reasons for pod in pool.left_out()}


def test_endpoints_are_not_left_out(objects: Any) -> None:
    assert pool_of(objects, objects.pod("a", "10.0.0.1")).left_out() == []


def test_each_reason_is_said(objects: Any) -> None:
    pool = pool_of(
        objects,
        objects.pod("not-ready", "10.0.0.1", ready=False),
        objects.pod("leaving", "10.0.0.2", terminating=True),
        objects.pod("no-address", ""),
        objects.pod("mislabelled", "10.0.0.3", labels={"app": "llm-2"}),
    )
    assert reasons(pool) == {
        "leaving": ("terminating",),
        "mislabelled": ("label app is 'llm-2'; the pool selects app=llm",),
        "no-address": ("has no IP address",),
        "not-ready": ("not ready: its Ready condition is False",),
    }
    assert [pod.pod for pod in pool.left_out() if not pod.selected] == ["mislabelled"]


def test_a_pod_may_have_several_reasons(objects: Any) -> None:
    pool = pool_of(objects, objects.pod("a", "", ready=False, terminating=True, labels={"app": "x"}))
    assert reasons(pool)["a"] == (
        "terminating",
        "not ready: its Ready condition is False",
        "has no IP address",
        "label app is 'x'; the pool selects app=llm",
    )


def test_what_kubernetes_says_of_a_pod_that_is_not_ready_is_passed_on(objects: Any) -> None:
    pod = objects.pod("a", "10.0.0.1", ready=False)
    condition = pod.status.conditions[0].model_copy(
        update={"reason": "ContainersNotReady", "message": "containers with unready status: [vllm]"}
    )
    said = pod.model_copy(update={"status": pod.status.model_copy(update={"conditions": (condition,)})})
    assert reasons(pool_of(objects, said))["a"] == (
        "not ready: ContainersNotReady: containers with unready status: [vllm]",
    )
    silent = pod.model_copy(update={"status": pod.status.model_copy(update={"conditions": ()})})
    assert reasons(pool_of(objects, silent))["a"] == ("not ready: it has no Ready condition",)


def test_pods_of_other_applications_are_not_told(objects: Any) -> None:
    assert pool_of(objects, objects.pod("database", "10.0.0.9", labels={"tier": "db"})).left_out() == []


def test_of_several_labels_the_missing_one_is_named(objects: Any) -> None:
    pool = pool_of(objects, objects.pod("a", "10.0.0.1"))
    spec = objects.pool()
    selector = spec.spec.selector.model_copy(update={"match_labels": {"app": "llm", "stage": "prod"}})
    pool.set_pool(spec.model_copy(update={"spec": spec.spec.model_copy(update={"selector": selector})}))
    assert reasons(pool) == {"a": ("label stage is missing; the pool selects stage=prod",)}


@pytest.mark.parametrize("known", [True, False])
def test_without_a_pool_there_is_nothing_to_be_left_out_of(objects: Any, known: bool) -> None:
    pool = pool_of(objects, objects.pod("a", "10.0.0.1", ready=False))
    if not known:
        pool.set_pool(None)
    assert bool(pool.left_out()) is known


def test_selected_pods_come_first_then_names(objects: Any) -> None:
    pool = pool_of(
        objects,
        objects.pod("a", "10.0.0.1", labels={"app": "other"}),
        objects.pod("c", "10.0.0.3", ready=False),
        objects.pod("b", "10.0.0.2", ready=False),
    )
    assert [pod.pod for pod in pool.left_out()] == ["b", "c", "a"]
