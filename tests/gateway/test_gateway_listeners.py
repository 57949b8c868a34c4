"""Ports of Gateways on this machine."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.gateway_manifests import gateway, parse

from signalbox.gateway.envoy import Options, translate
from signalbox.gateway.listeners import map_ports
from signalbox.resources import Gateway


def gateways(*ports: int, protocol: str = "HTTP") -> list[Gateway]:
    listeners = [
        {"name": f"l{i}", "hostname": f"h{i}.example", "port": port, "protocol": protocol}
        for i, port in enumerate(ports)
    ]
    return [each for each in parse(gateway("g", *listeners)) if isinstance(each, Gateway)]


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ((80,), {80: 8080}),
        ((80, 81, 9000), {80: 8080, 81: 8081, 9000: 9000}),
        ((80, 80), {80: 8080}),
        ((81, 80), {81: 8080, 80: 8081}),
        ((80, 8080), {80: 8080, 8080: 8081}),
    ],
)
def test_the_first_port_is_the_one_asked_for_and_others_are_near_their_own(
    declared: tuple[int, ...], expected: dict[int, int]
) -> None:
    assert map_ports(gateways(*declared), 8080).declared == expected


def test_listeners_that_are_not_http_get_no_port_and_are_told_once_with_field_and_fix() -> None:
    mapped = map_ports(gateways(443, protocol="HTTPS"), 8080)
    assert not mapped.ports
    config = translate(gateways(443, protocol="HTTPS"), (), (), (), Options(Path("x"), mapped.ports))
    assert config.notes == ("Gateway/g spec.listeners[0].protocol: HTTPS is not served on this machine; use HTTP",)


@given(st.lists(st.integers(1, 65535), min_size=1, max_size=20), st.integers(1, 65535))
def test_every_declared_port_gets_one_of_its_own(declared: list[int], first: int) -> None:
    mapped = map_ports(gateways(*declared), first)
    assert mapped.declared.keys() == set(declared)
    assert len(set(mapped.declared.values())) == len(mapped.declared)
    assert all(port == first or 1024 <= port <= 65535 for port in mapped.declared.values())
    assert next(iter(mapped.declared.values())) == first
