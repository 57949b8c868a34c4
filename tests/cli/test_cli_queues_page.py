"""``signalbox status`` shows what waits."""

from __future__ import annotations

import random

from tests.conftest import BuildPool, Objects
from tests.extproc.one_room import FLOW

from signalbox.cli.queues_page import queue_lines, queues_page
from signalbox.director import Arrival, Director, guide_rules, policy_rules
from signalbox.scheduling import load_policy


def test_bands_are_shown_with_what_waits_in_them(build_pool: BuildPool, objects: Objects) -> None:
    pool = build_pool((0, 0, set()), resources=(objects.objective("batch", -10),))
    director = Director(pool, policy_rules(load_policy(FLOW, name="flow.yaml"), pool), rng=random.Random(1))
    body = b'{"model": "m", "prompt": "p"}'
    for number in range(4):
        objective = "batch" if number == 3 else None
        director.arrive(Arrival("/v1/completions", body, fairness_id=str(number), objective=objective), 1.0)
    page = queues_page(director, 1.0)
    assert page is not None
    assert (page["waiting"], page["saturation"], page["request_ttl"]) == (3, 1.0, 10.0)
    assert [(band["priority"], band["requests"], band["flows"], band["bytes"]) for band in page["bands"]] == [
        (0, 2, 2, 2 * len(body)),
        (-10, 1, 1, len(body)),
    ]
    assert queue_lines(page) == [
        "3 waiting, the pool at 100%",
        "priority 0: 2 of at most 5000 in 2 flows, 0.0 MB",
        "priority -10: 1 of at most 5000 in 1 flow, 0.0 MB",
    ]


def test_without_flow_control_there_is_nothing_to_show(build_pool: BuildPool) -> None:
    pool = build_pool((0, 0, set()))
    assert queues_page(Director(pool, guide_rules()), 1.0) is None
