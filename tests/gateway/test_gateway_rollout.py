"""Pods are started and stopped so that a Deployment gets what it asks for without a gap."""

from hypothesis import given
from hypothesis import strategies as st

from signalbox.gateway.rollout import PodView, Start, Stop, held_up, plan_rollout


def test_a_new_deployment_starts_all_its_replicas_at_once() -> None:
    assert plan_rollout("d", 3, "r", []) == [Start("d-r-0"), Start("d-r-1"), Start("d-r-2")]


def test_a_deployment_that_has_what_it_asks_for_is_left_alone() -> None:
    assert plan_rollout("d", 2, "r", [PodView("d-r-0", "r", True), PodView("d-r-1", "r", False)]) == []


def test_scaling_down_stops_pods_that_do_not_serve_first_then_the_youngest() -> None:
    pods = [PodView("d-r-0", "r", False), PodView("d-r-1", "r", True), PodView("d-r-2", "r", True)]
    assert plan_rollout("d", 1, "r", pods) == [Stop("d-r-0"), Stop("d-r-2")]


def test_no_replicas_means_no_pods() -> None:
    assert plan_rollout("d", 0, "r", [PodView("d-r-0", "r", True), PodView("d-q-0", "q", True)]) == [
        Stop("d-r-0"),
        Stop("d-q-0"),
    ]


def test_a_pod_that_does_not_get_ready_holds_up_a_rollout_while_old_ones_serve() -> None:
    old = [PodView("d-q-0", "q", True), PodView("d-q-1", "q", True), PodView("d-q-2", "q", False)]
    new = PodView("d-r-0", "r", False)
    assert held_up("r", [*old, new]) == "; the rollout waits for it, in service until then: d-q-0, d-q-1"
    assert held_up("r", [new, PodView("d-r-1", "r", True)]) == ""


def test_names_of_draining_pods_are_not_given_again() -> None:
    assert plan_rollout("d", 1, "r", [], ["d-r-0"]) == [Start("d-r-1")]


def test_a_changed_template_starts_one_more_before_it_stops_one() -> None:
    old = [PodView("d-q-0", "q", True), PodView("d-q-1", "q", True)]
    assert plan_rollout("d", 2, "r", old) == [Start("d-r-0")]
    assert plan_rollout("d", 2, "r", [*old, PodView("d-r-0", "r", False)]) == []
    assert plan_rollout("d", 2, "r", [*old, PodView("d-r-0", "r", True)]) == [Stop("d-q-1"), Start("d-r-1")]


def test_an_old_pod_that_does_not_serve_goes_at_once() -> None:
    assert plan_rollout("d", 1, "r", [PodView("d-q-0", "q", False)]) == [Stop("d-q-0"), Start("d-r-0")]


@given(
    st.integers(0, 5),
    st.lists(st.tuples(st.sampled_from(["q", "r"]), st.booleans()), max_size=6),
    st.randoms(use_true_random=False),
)
def test_a_rollout_arrives_and_never_takes_away_what_serves(
    replicas: int,
    start: list[tuple[str, bool]],
    chance: st.randoms,  # type: ignore[valid-type]
) -> None:
    pods = {
        f"d-{revision}-{i}": PodView(f"d-{revision}-{i}", revision, ready) for i, (revision, ready) in enumerate(start)
    }
    for _ in range(60):
        served = sum(pod.ready for pod in pods.values())
        allowed = max(len(pods), replicas + 1)
        actions = plan_rollout("d", replicas, "r", pods.values())
        for action in actions:
            if isinstance(action, Stop):
                del pods[action.name]
            else:
                assert action.name not in pods
                pods[action.name] = PodView(action.name, "r", False)
        assert sum(pod.ready for pod in pods.values()) >= min(served, replicas)
        assert len(pods) <= allowed
        waiting = [name for name, pod in pods.items() if not pod.ready]
        if waiting:
            name = chance.choice(waiting)  # type: ignore[attr-defined]
            pods[name] = PodView(name, pods[name].revision, True)
        elif not actions:
            break
    assert sorted(pod.revision for pod in pods.values()) == ["r"] * replicas
