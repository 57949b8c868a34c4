"""Which of the pool's target ports a pod's servers listen on."""

from __future__ import annotations

import pytest
from tests.conftest import Objects

from signalbox.pool import ACTIVE_PORTS_ANNOTATION, PORT_ANNOTATION, Pool
from signalbox.pool.endpoints import active_ports

PORTS = (8000, 8001, 8002)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, [(0, 8000), (1, 8001), (2, 8002)]),
        ("", []),
        ("8001", [(1, 8001)]),
        (" 8002 , 8000 ", [(0, 8000), (2, 8002)]),
        ("8000,8000", [(0, 8000)]),
        ("9999,-8000,x,8001.0,٨٠٠٠", []),
        (",", []),
    ],
)
def test_the_annotation_leaves_ports_active_and_ranks_as_they_are(
    text: str | None, expected: list[tuple[int, int]]
) -> None:
    assert active_ports(text, PORTS) == expected


def names_of(annotations: dict[str, str], ports: tuple[int, ...] = PORTS) -> list[tuple[str, int]]:
    """The endpoints of a pod with these annotations."""
    pool, objects = Pool("pool"), Objects()
    pool.set_pool(objects.pool(ports=ports))
    pool.put(objects.pod("a", "10.0.0.1", annotations=annotations))
    return [(endpoint.name, endpoint.port) for endpoint in pool.endpoints]


def test_a_rank_keeps_its_name_whichever_others_are_active() -> None:
    assert names_of({}) == [("a-rank-0", 8000), ("a-rank-1", 8001), ("a-rank-2", 8002)]
    assert names_of({ACTIVE_PORTS_ANNOTATION: "8002"}) == [("a-rank-2", 8002)]


def test_a_pool_with_one_port_has_no_ranks() -> None:
    assert names_of({ACTIVE_PORTS_ANNOTATION: "8000"}, (8000,)) == [("a", 8000)]
    assert names_of({ACTIVE_PORTS_ANNOTATION: ""}, (8000,)) == []


def test_a_port_of_its_own_goes_before_active_ports() -> None:
    assert names_of({PORT_ANNOTATION: "9", ACTIVE_PORTS_ANNOTATION: "8001"}) == [("a", 9)]
