"""Hostnames: what covers what, and what a listener and a route share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.gateway.envoy.hostnames import covers, intersection, specificity

LABEL = st.sampled_from(["a", "b", "api", "example"])
EXACT = st.lists(LABEL, min_size=1, max_size=4).map(".".join)
HOST = EXACT | EXACT.map(lambda host: f"*.{host}") | st.just("*")


@pytest.mark.parametrize(
    ("pattern", "host", "expected"),
    [
        ("*", "a.example", True),
        ("a.example", "a.example", True),
        ("a.example", "b.example", False),
        ("*.example", "a.example", True),
        ("*.example", "b.a.example", True),
        ("*.example", "example", False),
        ("*.example", "aexample", False),
        ("*.example", "*.a.example", True),
        ("*.a.example", "*.example", False),
        ("*.example", "*", False),
    ],
)
def test_a_wildcard_covers_one_or_more_labels(pattern: str, host: str, expected: bool) -> None:
    assert covers(pattern, host) is expected


@pytest.mark.parametrize(
    ("listener", "hosts", "shared"),
    [
        ("*", (), ("*",)),
        ("*", ("a.example", "b.example"), ("a.example", "b.example")),
        ("a.example", (), ("a.example",)),
        ("*.example", ("a.example", "*.b.example", "other"), ("a.example", "*.b.example")),
        ("a.example", ("*.example",), ("a.example",)),
        ("*.a.example", ("*.example", "x.a.example"), ("*.a.example", "x.a.example")),
        ("a.example", ("b.example",), ()),
    ],
)
def test_a_route_is_reached_under_what_it_shares_with_the_listener(
    listener: str, hosts: tuple[str, ...], shared: tuple[str, ...]
) -> None:
    assert intersection(listener, hosts) == shared


@given(HOST, st.lists(HOST, max_size=4), EXACT)
def test_a_name_is_in_the_intersection_exactly_if_both_sides_have_it(
    listener: str, hosts: list[str], name: str
) -> None:
    both = covers(listener, name) and any(covers(host, name) for host in hosts or ["*"])
    assert any(covers(host, name) for host in intersection(listener, hosts)) is both


@given(HOST, HOST)
def test_what_is_covered_is_at_least_as_specific(pattern: str, host: str) -> None:
    assert not covers(pattern, host) or specificity(host) >= specificity(pattern)
