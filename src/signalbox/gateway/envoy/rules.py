"""HTTPRoute rules as Envoy routes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from signalbox.gateway.envoy import pickerfilter
from signalbox.gateway.envoy.httpfilters import Unsupported, header_changes, redirect, refuse_unsupported, rewrite
from signalbox.gateway.envoy.matching import broken_expression, envoy_match, rank
from signalbox.gateway.envoy.model import Json, Options, PoolBackend, ServiceBackend, extension, seconds
from signalbox.resources import BackendRef, FilterType, HTTPRoute, HTTPRouteMatch, HTTPRouteRule

POOL_GROUPS = ("inference.networking.k8s.io", "inference.networking.x-k8s.io")

MISSING = "missing-backend"
"""A cluster that never exists: the share of a backend that is unknown goes there, and Envoy answers it with 500."""

_HEADERS = (FilterType.REQUEST_HEADER_MODIFIER, FilterType.RESPONSE_HEADER_MODIFIER)
_SUPPORTED = (*_HEADERS, FilterType.REQUEST_REDIRECT, FilterType.URL_REWRITE)


@dataclass(frozen=True, slots=True)
class Entry:
    """One match of one rule: its place among the others (smaller first) and the Envoy route."""

    rank: tuple[int, int, bool, int, int]
    route: Json


@dataclass(frozen=True, slots=True)
class Backends:
    """The backends that exist, by (namespace, name) and by (namespace, name, port)."""

    pools: Mapping[tuple[str, str], PoolBackend]
    services: Mapping[tuple[str, str, int], ServiceBackend]

    def find(self, reference: BackendRef, namespace: str) -> PoolBackend | ServiceBackend | None:
        """What a backendRef of a route in ``namespace`` points to. The port of an InferencePool means nothing."""
        where = reference.namespace or namespace
        if reference.kind == "InferencePool" and reference.group in POOL_GROUPS:
            return self.pools.get((where, reference.name))
        if reference.kind == "Service" and reference.group == "" and reference.port is not None:
            return self.services.get((where, reference.name, reference.port))
        return None


def entries(route: HTTPRoute, backends: Backends, options: Options, notes: list[str]) -> Iterator[Entry]:
    """The Envoy routes of an HTTPRoute, in the order of its rules and their matches."""
    for index, rule in enumerate(route.spec.rules):
        where = f"HTTPRoute/{route.metadata.name} spec.rules[{index}]"
        if rule.retry is not None or rule.session_persistence is not None:
            notes.append(f"{where}: retry and sessionPersistence are not honoured here; remove them")
        try:
            refuse_unsupported(rule.filters, _SUPPORTED)
            header_changes(rule.filters)  # refuses what cannot be changed
            shares = _shares(route, rule, backends, where, notes, asleep=not options.body_router)
        except Unsupported as refusal:
            notes.append(f"{where}.{refusal}")
            shares = None
        for number, match in enumerate(rule.matches):
            broken = broken_expression(match)
            if broken:
                notes.append(f"{where}.matches[{number}]: {broken}; the match is left out until it is corrected")
                continue
            name = f"{route.metadata.namespace}/{route.metadata.name}/{index}/{number}"
            try:
                envoy = _route(rule, match, shares, options)
            except Unsupported as refusal:
                notes.append(f"{where}.{refusal}")
                envoy = _failure("A filter of the HTTPRoute is not supported")
            yield Entry(rank(match), {"name": name, "match": envoy_match(match), **envoy})


def _route(rule: HTTPRouteRule, match: HTTPRouteMatch, shares: list[Json] | None, options: Options) -> Json:
    if shares is None:
        return _failure("A filter of the HTTPRoute is not supported")
    for item in rule.filters:
        if item.type is FilterType.REQUEST_REDIRECT:
            return {"redirect": redirect(item.request_redirect, match), **header_changes(rule.filters)}
    if all(share["name"] == MISSING for share in shares):
        return _failure("The HTTPRoute has no valid backend")
    action: Json = {
        "weighted_clusters": {"clusters": shares},
        "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR",
        "retry_policy": _retries(rule),
        # An LLM's answer has no length known beforehand: no bound unless the route gives one.
        "timeout": seconds((rule.timeouts and rule.timeouts.request_seconds) or 0.0),
    }
    for item in rule.filters:
        if item.type is FilterType.URL_REWRITE:
            action |= rewrite(item.url_rewrite, match)
    return {"route": action, "request_body_buffer_limit": options.body_limit}


def _shares(
    route: HTTPRoute, rule: HTTPRouteRule, backends: Backends, where: str, notes: list[str], asleep: bool
) -> list[Json]:
    """The weighted clusters of a rule, those of unknown backends included; ``asleep`` as for the picker's filter."""
    shares = []
    for index, reference in enumerate(rule.backend_refs):
        field = f"{where}.backendRefs[{index}]"
        if reference.weight == 0:
            continue
        share: Json = {"name": MISSING, "weight": reference.weight}
        backend = backends.find(reference, route.metadata.namespace)
        if backend is None:
            port = "" if reference.kind == "InferencePool" or reference.port is None else f" port {reference.port}"
            notes.append(
                f"{field}: {reference.kind} {reference.name}{port} does not exist, its share of requests gets 500; "
                "add it or correct the reference"
            )
        else:
            if reference.namespace not in (None, route.metadata.namespace):
                notes.append(f"{field}.namespace: a cluster wants a ReferenceGrant for this; it is not checked here")
            try:
                refuse_unsupported(reference.filters, _HEADERS)
                # Envoy applies a route's header changes after those of its weighted clusters, the Gateway API before.
                changes = header_changes((*rule.filters, *reference.filters))
                share = {"name": backend.cluster, "weight": reference.weight, **changes}
            except Unsupported as refusal:
                notes.append(f"{field}.{refusal}")
            else:
                if isinstance(backend, PoolBackend):
                    share["typed_per_filter_config"] = pickerfilter.enabled_for(backend, asleep)
        shares.append(share)
    return shares


def _retries(rule: HTTPRouteRule) -> Json:
    """Retries while no byte of an answer has come, on another endpoint: the next the picker named, if any."""
    policy: Json = {
        "retry_on": "connect-failure,reset-before-request,refused-stream",
        "num_retries": 2,
        "retry_host_predicate": [
            extension(
                "envoy.retry_host_predicates.previous_hosts",
                "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            )
        ],
        "host_selection_retry_max_attempts": 5,
    }
    attempt = rule.timeouts.backend_request_seconds if rule.timeouts else None
    if attempt:
        policy["per_try_timeout"] = seconds(attempt)
    return policy


def _failure(message: str) -> Json:
    return {"direct_response": {"status": 500, "body": {"inline_string": message}}}
