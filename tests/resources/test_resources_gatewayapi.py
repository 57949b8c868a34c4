"""Gateway and HTTPRoute: defaults, limits and rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.resources import FilterType, PathMatchType, ValueMatchType, parse_duration

Complain = Callable[[str, Mapping[str, Any]], list[str]]


def test_a_route_rule_with_no_matches_takes_every_request(documents: Any) -> None:
    variants: tuple[Any, ...] = (None, [], [{}])
    for matches in variants:
        (rule,) = documents.read("route", {"spec.rules.0.matches": matches}).spec.rules
        (match,) = rule.matches
        assert (match.path.type, match.path.value) == (PathMatchType.PATH_PREFIX, "/")
        assert (match.headers, match.query_params, match.method) == ((), (), None)


def test_a_route_with_no_rules_has_one_without_backends(documents: Any) -> None:
    (rule,) = documents.read("route", {"spec.rules": None}).spec.rules
    assert rule.backend_refs == ()


def test_references_have_their_defaults(documents: Any) -> None:
    route = documents.read("route", {"spec.rules.0.backendRefs": [{"name": "web", "port": 80}]})
    (parent,) = route.spec.parent_refs
    assert (parent.group, parent.kind, parent.name) == ("gateway.networking.k8s.io", "Gateway", "front")
    assert (parent.namespace, parent.section_name, parent.port) == (None, None, None)
    (backend,) = route.spec.rules[0].backend_refs
    assert (backend.group, backend.kind, backend.port, backend.weight) == ("", "Service", 80, 1)


def test_a_pool_backend_needs_no_port_and_may_have_weight_0(documents: Any) -> None:
    (backend,) = documents.read("route", {"spec.rules.0.backendRefs.0.weight": 0}).spec.rules[0].backend_refs
    assert (backend.kind, backend.port, backend.weight) == ("InferencePool", None, 0)


def test_a_rule_holds_everything_a_gateway_acts_on(documents: Any) -> None:
    rule = {
        "name": "chat",
        "matches": [
            {
                "path": {"type": "Exact", "value": "/v1/chat"},
                "headers": [{"name": "X-Tier", "value": "gold"}],
                "queryParams": [{"type": "RegularExpression", "name": "debug", "value": "1|true"}],
                "method": "POST",
            }
        ],
        "filters": [
            {
                "type": "RequestHeaderModifier",
                "requestHeaderModifier": {
                    "set": [{"name": "a", "value": "1"}],
                    "add": [{"name": "b", "value": "2"}],
                    "remove": ["c"],
                },
            },
            {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "x", "port": 1}}},
            {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "y", "port": 1}}},
        ],
        "timeouts": {"request": "1m30s", "backendRequest": "500ms"},
        "retry": {"codes": [503]},
    }
    changes = {
        "spec.rules": [rule],
        "spec.hostnames": ["*.example.com"],
        "apiVersion": "gateway.networking.k8s.io/v1beta1",
    }
    route = documents.read("route", changes)
    (read,) = route.spec.rules
    (match,) = read.matches
    assert route.spec.hostnames == ("*.example.com",)
    assert match.headers[0].type is ValueMatchType.EXACT
    assert match.query_params[0].type is ValueMatchType.REGULAR_EXPRESSION
    assert (read.timeouts.request_seconds, read.timeouts.backend_request_seconds) == (90.0, 0.5)
    assert [one.type for one in read.filters] == [FilterType.REQUEST_HEADER_MODIFIER] + 2 * ["RequestMirror"]
    modifier = read.filters[0].request_header_modifier
    assert (modifier.set[0].value, modifier.add[0].name, modifier.remove) == ("1", "b", ("c",))


def test_listeners_may_share_a_port_under_different_hosts(documents: Any) -> None:
    listeners = [
        {"name": "a", "port": 443, "protocol": "HTTPS", "hostname": "a.example.com", "tls": {"mode": "Terminate"}},
        {"name": "b", "port": 443, "protocol": "HTTPS", "hostname": "b.example.com"},
    ]
    gateway = documents.read("gateway", {"spec.listeners": listeners})
    assert [(one.name, one.port, one.hostname) for one in gateway.spec.listeners] == [
        ("a", 443, "a.example.com"),
        ("b", 443, "b.example.com"),
    ]


def test_a_timeout_of_zero_bounds_nothing(documents: Any) -> None:
    timeouts = {"request": "0s", "backendRequest": "10s"}
    (rule,) = documents.read("route", {"spec.rules.0.timeouts": timeouts}).spec.rules
    assert rule.timeouts.request_seconds == 0.0


Table = list[tuple[str, Any, str]]

GATEWAY: Table = [
    ("spec.listeners", [], "spec.listeners: must hold at least 1 listener, got 0; add a listener"),
    (
        "spec.listeners.0.protocol",
        "H T",
        "spec.listeners[0].protocol: 'H T' is not allowed here; "
        "write a protocol like 'HTTP', 'HTTPS', 'TLS', 'TCP' or 'UDP'",
    ),
    (
        "spec.listeners.0.hostname",
        "*",
        "spec.listeners[0].hostname: '*' is not allowed here; write a host name like 'example.com' or '*.example.com'",
    ),
    (
        "spec.listeners.0.tls",
        {},
        "spec.listeners[0].tls: must not be set when protocol is HTTP; remove tls, or use HTTPS or TLS",
    ),
    (
        "spec.listeners.0",
        {"name": "t", "port": 1, "protocol": "TCP", "hostname": "a.b"},
        "spec.listeners[0].hostname: must not be set when protocol is TCP; remove hostname",
    ),
    (
        "spec.listeners",
        [{"name": "a", "port": port, "protocol": "HTTP"} for port in (80, 81)],
        "spec.listeners[1].name: 'a' is already used by entry 0; use each value once",
    ),
    (
        "spec.listeners",
        [{"name": name, "port": 80, "protocol": "HTTP"} for name in "ab"],
        "spec.listeners[1]: has the port, protocol and hostname of listener 'a'; change one of them",
    ),
    ("spec.listener", [], "spec.listener: is not a known field; did you mean 'listeners'?"),
]
MATCH = [
    ({"path": {"value": "v1"}}, "path.value: 'v1' does not start with '/'; write '/v1'"),
    ({"path": {"value": "/a//b"}}, "path.value: '/a//b' contains '//'; remove '//'"),
    ({"path": {"value": "/a%2fb"}}, "path.value: '/a%2fb' contains '%2f'; remove '%2f'"),
    ({"path": {"value": "/a/.."}}, "path.value: '/a/..' ends with '/..'; remove '/..'"),
    (
        {"path": {"type": "Prefix"}},
        "path.type: must be one of Exact, PathPrefix, RegularExpression, got the string 'Prefix'; "
        "did you mean 'PathPrefix'?",
    ),
    (
        {"method": "get"},
        "method: must be one of GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH, got the string 'get'; "
        "did you mean 'GET'?",
    ),
    (
        {"headers": [{"name": "a b", "value": "x"}]},
        "headers[0].name: 'a b' is not allowed here; write an HTTP header name",
    ),
    (
        {"headers": [{"name": "X-A", "value": "x"}, {"name": "x-a", "value": "y"}]},
        "headers[1].name: 'x-a' is already used by entry 0; use each value once",
    ),
    (
        {"queryParams": [{"name": "a", "value": "x"}, {"name": "a", "value": "y"}]},
        "queryParams[1].name: 'a' is already used by entry 0; use each value once",
    ),
]
RULE: Table = [("matches", [match], f"matches[0].{said}") for match, said in MATCH] + [
    ("matches", [{}] * 65, "matches: must hold at most 64 alternatives, got 65; remove 1"),
    (
        "backendRefs.0.weight",
        -1,
        "backendRefs[0].weight: must be from 0 to 1000000, got -1; use a number in that range",
    ),
    (
        "backendRefs",
        [{"name": "web"}],
        "backendRefs[0].port: is required when the backend is a Service; add the Service's port",
    ),
    ("timeouts", {"request": "300"}, "timeouts.request: '300' is a duration without a unit; write '300s' for seconds"),
    ("timeouts", {"request": 300}, "timeouts.request: '300' is a duration without a unit; write '300s' for seconds"),
    (
        "timeouts",
        {"request": True},
        "timeouts.request: expected a duration, got the boolean true; write it like '300s'",
    ),
    (
        "timeouts",
        {"request": "1s", "backendRequest": "2s"},
        "timeouts.backendRequest: 2s is longer than request, 1s; shorten backendRequest or lengthen request",
    ),
    (
        "filters",
        [{"type": "RequestHeaderModifier"}],
        "filters[0].requestHeaderModifier: is required when type is 'RequestHeaderModifier'; add requestHeaderModifier",
    ),
    (
        "filters",
        [{"type": "RequestHeaderModifier", "requestHeaderModifier": {}, "urlRewrite": {}}],
        "filters[0].urlRewrite: must not be set when type is 'RequestHeaderModifier'; remove urlRewrite or change type",
    ),
    (
        "filters",
        [{"type": "URLRewrite", "urlRewrite": {}}] * 2,
        "filters[1].type: 'URLRewrite' is given twice; merge the two filters into one",
    ),
    (
        "filters",
        [{"type": "URLRewrite", "urlRewrite": {}}, {"type": "RequestRedirect", "requestRedirect": {}}],
        "filters: a request cannot be both redirected and rewritten; remove RequestRedirect or URLRewrite",
    ),
]
ROUTE: Table = [(f"spec.rules.0.{path}", value, f"spec.rules[0].{said}") for path, value, said in RULE] + [
    (
        "spec.hostnames",
        ["A.com"],
        "spec.hostnames[0]: 'A.com' is not allowed here; write a host name like 'example.com' or '*.example.com'",
    ),
    (
        "spec.rules",
        [{"name": "a"}, {"name": "a"}],
        "spec.rules[1].name: 'a' is already used by entry 0; use each value once",
    ),
    ("spec.parentRefs", [{}], "spec.parentRefs[0].name: is required; add name"),
]
CASES = [
    pytest.param(which, path, value, said, id=f"{which}-{said.partition(';')[0][:70]}")
    for which, table in (("gateway", GATEWAY), ("route", ROUTE))
    for path, value, said in table
]


@pytest.mark.parametrize(("which", "path", "value", "said"), CASES)
def test_a_rule_broken_is_said(complaints: Complain, which: str, path: str, value: object, said: str) -> None:
    assert complaints(which, {path: value}) == [said]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0.0), ("300s", 300.0), ("1h30m", 5400.0), ("1m30s500ms", 90.5), ("99999ms", 99.999), ("1s1s", 2.0)],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "1.5s", "-1s", "1d", "100000s", "1s1s1s1s1s", "1 s", "1S"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; write whole numbers with units"):
        parse_duration(text)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 99999), st.sampled_from(["h", "m", "s", "ms"])), min_size=1, max_size=4))
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[int, str]]) -> None:
    weights = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert parse_duration(text) == pytest.approx(sum(number * weights[unit] for number, unit in parts))
