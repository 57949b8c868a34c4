"""Probes decide when a container is ready and when it is replaced."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.gateway.probes import FIRST_INTERVAL, ContainerHealth, Method, Probe, Probes, Role, Timing


def probe(**timing: float) -> Probe:
    return Probe(Method.HTTP, 8000, Timing(**timing))  # type: ignore[arg-type]


def begun(**probes: Probe) -> ContainerHealth:
    health = ContainerHealth(Probes(**probes))
    health.process_started(0.0)
    return health


def test_without_probes_a_container_is_ready_at_once() -> None:
    assert begun().ready


def test_the_implicit_check_makes_a_container_ready_when_it_listens() -> None:
    probes = Probes(liveness=probe()).with_implicit_startup(9)
    assert probes.startup is not None
    assert (probes.startup.method, probes.startup.port) == (Method.TCP, 9)
    health = ContainerHealth(probes)
    health.process_started(0.0)
    assert not health.ready
    health.observe(Role.STARTUP, True, 1.0)
    assert health.ready


def test_declared_probes_need_no_implicit_one() -> None:
    declared = Probes(readiness=probe())
    assert declared.with_implicit_startup(9) is declared


def test_readiness_and_liveness_wait_for_the_startup_probe() -> None:
    health = begun(startup=probe(), readiness=probe(), liveness=probe())
    assert health.due(0.0) == (Role.STARTUP,)
    health.observe(Role.READINESS, True, 0.0)
    assert not health.ready
    health.observe(Role.STARTUP, True, 0.0)
    assert health.due(0.0) == (Role.READINESS, Role.LIVENESS)
    health.observe(Role.READINESS, True, 0.0)
    assert health.ready


def test_thresholds_are_runs_of_equal_results() -> None:
    health = begun(readiness=probe(success_threshold=2, failure_threshold=2, period=1))
    for now, success, ready in [(0, True, False), (1, False, False), (2, True, False), (3, True, True)]:
        health.observe(Role.READINESS, success, float(now))
        assert health.ready is ready
    for now, success, ready in [(4, False, True), (5, True, True), (6, False, True), (7, False, False)]:
        health.observe(Role.READINESS, success, float(now))
        assert health.ready is ready


def test_a_container_that_has_not_answered_is_asked_often_but_its_failures_count_at_the_manifests_pace() -> None:
    health = begun(startup=probe(initial_delay=2, period=1, failure_threshold=3))
    now, asked = 0.0, 0
    while not health.restart_due:
        due = health.next_due()
        assert due is not None
        now = max(now, due)
        health.observe(Role.STARTUP, False, now)
        asked += 1
        assert asked < 100
    # It counts at 2 s, 3 s and 4 s, as a kubelet would have asked.
    assert now == pytest.approx(4.0, abs=2 * FIRST_INTERVAL)
    assert asked > 20


def test_after_the_first_answer_the_manifests_period_applies() -> None:
    health = begun(readiness=probe(period=7))
    health.observe(Role.READINESS, True, 1.0)
    assert health.next_due() == 8.0


def test_liveness_failures_ask_for_a_restart_and_end_readiness() -> None:
    health = begun(readiness=probe(), liveness=probe(failure_threshold=2))
    health.observe(Role.READINESS, True, 0.0)
    health.observe(Role.LIVENESS, False, 10.0)
    assert not health.restart_due
    assert health.ready
    health.observe(Role.LIVENESS, False, 20.0)
    assert health.restart_due
    assert not health.ready
    assert health.next_due() is None


def test_a_new_process_starts_from_nothing() -> None:
    health = begun(startup=probe(), readiness=probe())
    health.observe(Role.STARTUP, True, 0.0)
    health.observe(Role.READINESS, True, 0.0)
    health.process_ended()
    assert not health.ready
    assert health.next_due() is None
    health.process_started(5.0)
    assert not health.ready
    assert health.due(5.0) == (Role.STARTUP,)


@given(
    st.lists(st.tuples(st.sampled_from(Role), st.booleans(), st.floats(0, 5))),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_readiness_never_comes_without_as_many_successes_as_the_threshold(
    events: list[tuple[Role, bool, float]], successes: int, failures: int
) -> None:
    health = begun(
        startup=probe(), readiness=probe(success_threshold=successes, failure_threshold=failures), liveness=probe()
    )
    now, run = 0.0, 0
    for role, success, later in events:
        now += later
        was_ready, watched = health.ready, health.started
        health.observe(role, success, now)
        if role is Role.READINESS and watched:
            run = run + 1 if success else 0
        assert health.ready <= health.started
        if health.ready and not was_ready:
            assert run >= successes
        if health.restart_due:
            assert health.next_due() is None
            health.process_started(now)
            run = 0
