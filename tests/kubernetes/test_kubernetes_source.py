"""The picker follows a real API server: pods, models, pools, kinds that come later."""

from __future__ import annotations

import pytest
from tests.kubernetes.admin import Admin, Answered, document, eventually
from tests.kubernetes.conftest import Cluster, install
from tests.kubernetes.pickers import picker

OLD = "inference.networking.x-k8s.io/v1alpha2"


def test_pods_come_go_become_unready_and_are_relabelled(cluster: Cluster, admin: Admin) -> None:
    with picker(cluster.kubeconfig, admin.namespace) as epp:
        assert not epp.serving()
        admin.pool()
        eventually(epp.serving, "serving once the pool is there")
        assert epp.addresses() == []
        admin.pod("a", "10.1.0.1")
        admin.pod("b", "10.1.0.2", ready=False)
        admin.pod("c", "10.1.0.3", labels={"app": "another"})
        eventually(lambda: epp.addresses() == ["10.1.0.1:8000"], "the ready pod of the selector")
        admin.set_ready("b", True)
        admin.patch("Pod", "c", {"metadata": {"labels": {"app": "llm"}}})
        eventually(lambda: len(epp.addresses()) == 3, "a pod became ready, another was relabelled into the pool")
        admin.set_ready("a", False)
        admin.patch("Pod", "c", {"metadata": {"labels": {"app": "another"}}})
        eventually(lambda: epp.addresses() == ["10.1.0.2:8000"], "unready and relabelled pods left")
        admin.delete("Pod", "b")
        eventually(lambda: epp.addresses() == [], "a deleted pod left")
        assert epp.serving("inference-extension")
        admin.delete("InferencePool", "pool")
        eventually(lambda: not epp.serving(), "not serving without a pool")
        assert epp.serving("liveness")


def test_a_pod_that_is_being_ended_leaves_at_once(cluster: Cluster, admin: Admin) -> None:
    admin.pool()
    admin.pod("a", "10.1.0.1", finalizers=["signalbox.dev/test"])
    with picker(cluster.kubeconfig, admin.namespace) as epp:
        eventually(lambda: len(epp.addresses()) == 1, "a pod")
        admin.delete("Pod", "a")
        eventually(lambda: epp.addresses() == [], "a pod that waits for its finalizer left")
    admin.patch("Pod", "a", {"metadata": {"finalizers": None}})


def test_what_is_there_before_the_start_is_there_when_it_serves(cluster: Cluster, admin: Admin) -> None:
    admin.pool()
    for number in range(5):
        admin.pod(f"pod-{number}", f"10.1.0.{number + 1}")
    admin.model("m", "food", criticality="Critical", targetModels=[{"name": "food-v1", "weight": 1}])
    with picker(cluster.kubeconfig, admin.namespace) as epp:
        eventually(epp.serving, "serving")
        page = epp.page()
        assert len(page["endpoints"]) == 5
        assert [model["name"] for model in page["models"]] == ["food"]
        assert not page["open"]


def test_the_selector_may_change_and_the_port(cluster: Cluster, admin: Admin) -> None:
    admin.pool()
    admin.pod("a", "10.1.0.1")
    admin.pod("b", "10.1.0.2", labels={"app": "llm", "tier": "gold"})
    with picker(cluster.kubeconfig, admin.namespace) as epp:
        eventually(lambda: len(epp.addresses()) == 2, "two pods")
        admin.patch("InferencePool", "pool", {"spec": {"selector": {"matchLabels": {"tier": "gold"}}}})
        eventually(lambda: epp.addresses() == ["10.1.0.2:8000"], "the narrower selector")
        admin.patch("InferencePool", "pool", {"spec": {"targetPorts": [{"number": 9000}]}})
        eventually(lambda: epp.addresses() == ["10.1.0.2:9000"], "the new port")
        admin.pod("c", "10.1.0.3", labels={"tier": "gold", "app": "llm"})
        eventually(lambda: len(epp.addresses()) == 2, "a pod of the new selector")


def test_active_ports_narrow_a_pods_ranks(cluster: Cluster, admin: Admin) -> None:
    admin.pool()
    admin.patch("InferencePool", "pool", {"spec": {"targetPorts": [{"number": 8000}, {"number": 8001}]}})
    admin.pod("a", "10.1.0.1")
    admin.pod("b", "10.1.0.2", annotations={"inference.networking.k8s.io/active-ports": "8001"})
    with picker(cluster.kubeconfig, admin.namespace) as epp:
        eventually(lambda: len(epp.addresses()) == 3, "three ranks")
        assert epp.addresses() == ["10.1.0.1:8000", "10.1.0.1:8001", "10.1.0.2:8001"]


def test_an_old_pool_is_followed_and_a_new_one_takes_its_place(cluster: Cluster, admin: Admin) -> None:
    spec = {"selector": {"app": "llm"}, "targetPortNumber": 8000, "extensionRef": {"name": "epp"}}
    admin.create(document("InferencePool", "pool", spec, OLD))
    admin.pod("a", "10.1.0.1")
    with picker(cluster.kubeconfig, admin.namespace) as epp:
        eventually(lambda: epp.addresses() == ["10.1.0.1:8000"], "the old pool")
        admin.pool(port=9000)
        eventually(lambda: epp.addresses() == ["10.1.0.1:9000"], "the new pool")
        admin.delete("InferencePool", "pool")
        eventually(lambda: epp.addresses() == ["10.1.0.1:8000"], "the old pool again")


def test_the_group_of_the_pool_may_be_told(cluster: Cluster, admin: Admin) -> None:
    admin.pool(port=9000)
    spec = {"selector": {"app": "llm"}, "targetPortNumber": 8000, "extensionRef": {"name": "epp"}}
    admin.create(document("InferencePool", "pool", spec, OLD))
    admin.pod("a", "10.1.0.1")
    with picker(cluster.kubeconfig, admin.namespace, "--pool-group", "inference.networking.x-k8s.io") as epp:
        eventually(lambda: epp.addresses() == ["10.1.0.1:8000"], "the old pool, though there is a new one")


def test_models_objectives_and_rewrites_come_change_and_go(cluster: Cluster, admin: Admin) -> None:
    admin.pool()
    with picker(cluster.kubeconfig, admin.namespace) as epp:
        eventually(epp.serving, "serving")
        assert epp.page()["open"]
        admin.model("m", "food")
        admin.create(document("InferenceObjective", "batch", {"priority": -2, "poolRef": {"name": "pool"}}))
        rules = [{"matches": [{"model": {"value": "old"}}], "targets": [{"modelRewrite": "new", "weight": 1}]}]
        admin.create(document("InferenceModelRewrite", "r", {"poolRef": {"name": "pool"}, "rules": rules}))
        eventually(lambda: len(epp.page()["models"]) == 2, "a model and a rewrite")
        assert epp.page()["objectives"] == [{"name": "batch", "priority": -2}]
        admin.patch("InferenceObjective", "batch", {"spec": {"priority": 3}})
        eventually(lambda: epp.page()["objectives"][0]["priority"] == 3, "the new priority")
        admin.patch("InferenceModel", "m", {"spec": {"poolRef": {"name": "another"}}})
        admin.delete("InferenceModelRewrite", "r")
        eventually(lambda: epp.page()["models"] == [], "a model that left the pool, a rewrite that was deleted")


def test_of_two_models_of_one_name_the_older_serves_and_its_heir_after_it(cluster: Cluster, admin: Admin) -> None:
    admin.pool()
    admin.model("b", "food")
    admin.model("a", "food")
    with picker(cluster.kubeconfig, admin.namespace) as epp:
        eventually(lambda: len(epp.page()["overruled"]) == 1, "one of the two loses")
        (told,) = epp.page()["overruled"]
        loser, winner = ("a", "b") if f"InferenceModel {admin.namespace}/a is not used" in told else ("b", "a")
        assert f"belongs to the older {admin.namespace}/{winner}" in told
        admin.delete("InferenceModel", winner)
        eventually(lambda: epp.page()["overruled"] == [], "the other took its place")
        assert [model["source"] for model in epp.page()["models"]] == [f"InferenceModel {loser}"]


def test_an_object_that_only_we_refuse_is_listed_and_the_last_good_one_serves(cluster: Cluster, admin: Admin) -> None:
    """A schema cannot say what a label key is in the words of 1.20, so that its API server takes any."""
    admin.pool()
    admin.pod("a", "10.1.0.1")
    with picker(cluster.kubeconfig, admin.namespace) as epp:
        eventually(lambda: len(epp.addresses()) == 1, "a good pool")
        wrong = {"selector": {"matchLabels": {"app": None, "a key/": "x"}}, "targetPorts": [{"number": 9000}]}
        try:
            admin.patch("InferencePool", "pool", {"spec": wrong})
        except Answered:
            pytest.skip(f"release {cluster.release} refuses it itself")
        eventually(lambda: len(epp.page()["refused"]) == 1, "it is refused")
        assert "InferencePool/pool spec.selector.matchLabels" in epp.page()["refused"][0]
        assert epp.addresses() == ["10.1.0.1:8000"]
        eventually(lambda: len(epp.said("configuration problem")) == 1, "said once")
        assert epp.metric("signalbox_source_problems") == 1
        admin.patch("InferencePool", "pool", {"spec": {"selector": {"matchLabels": {"app": "llm", "a key/": None}}}})
        eventually(lambda: epp.addresses() == ["10.1.0.1:9000"], "it is mended")
        assert epp.page()["refused"] == []


def test_a_kind_whose_crd_is_installed_later_is_picked_up(cluster: Cluster, admin: Admin) -> None:
    admin.pool()
    with picker(cluster.kubeconfig, admin.namespace) as epp:
        eventually(epp.serving, "serving though llm-d.ai is not installed")
        names = install(admin, cluster.release, "--group", "llm-d.ai")
        try:
            eventually(lambda: _established(admin, names), "the CRDs are established")
            objective = document(
                "InferenceObjective", "late", {"priority": 5, "poolRef": {"name": "pool"}}, "llm-d.ai/v1alpha2"
            )
            admin.create(objective)
            eventually(lambda: epp.page()["objectives"] == [{"name": "late", "priority": 5}], "picked up", 40)
        finally:
            for name in names:
                admin.delete("CustomResourceDefinition", name)
        eventually(lambda: epp.page()["objectives"] == [], "a kind that is uninstalled takes its objects along", 40)


def _established(admin: Admin, names: list[str]) -> bool:
    conditions = [
        condition
        for name in names
        for condition in admin.request("GET", admin.path("CustomResourceDefinition", name))["status"]["conditions"]
    ]
    established = [c for c in conditions if c["type"] == "Established" and c["status"] == "True"]
    return len(established) == len(names)
