"""``/debug/pool``: what a picker knows, for whoever asks why."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from typing import Any

from signalbox.director import Rules
from signalbox.pool import Endpoint, Pool, Served
from signalbox.scheduling import Profile

MOST_LEFT_OUT = 100
"""Pods that are no endpoints, listed at most."""

GUIDE = "the guide's filter tree"
"""What decides where there is no configuration."""


def pool_page(pool: Pool, now: float) -> dict[str, Any]:
    """Return the pool's endpoints with their columns, the pods that are none, and its models, ready for JSON.

    ``now`` is in seconds of the clock that scrapes are stamped with.
    """
    inventory = pool.catalogue.inventory
    left_out = pool.left_out()
    held_back = pool.catalogue.held_back()
    unlisted = {(f"{held.owner.kind} {held.owner.name}", held.target) for held in held_back}
    return {
        "pool": f"{pool.namespace}/{pool.name}",
        "known": pool.spec is not None,
        "endpoints": [_endpoint(pool, endpoint, now) for endpoint in pool.endpoints],
        "left_out": [
            {"pod": pod.pod, "selected": pod.selected, "reasons": list(pod.reasons)} for pod in left_out[:MOST_LEFT_OUT]
        ],
        "left_out_more": max(0, len(left_out) - MOST_LEFT_OUT),
        "open": pool.catalogue.open,
        "models": [_model(served, unlisted) for served in inventory.models],
        "objectives": [{"name": name, "priority": priority} for name, priority in inventory.objectives],
        "overruled": list(inventory.overruled),
        "held_back": [str(held) for held in held_back],
        "unloaded": [str(found) for found in pool.catalogue.unloaded()],
    }


def configuration_page(rules: Rules, source: str) -> dict[str, Any]:
    """Return what is decided by, ready for JSON; ``source`` says where it comes from."""
    policy = rules.policy
    page: dict[str, Any] = {"source": source, "profiles": [], "plugins": [], "notes": []}
    if isinstance(rules.scheduler, Profile):
        page["profiles"] = [_profile(rules.scheduler.name, rules.scheduler)]
    if policy is not None:
        page["profiles"] = [_profile(name, profile) for name, profile in policy.profiles.items()]
        page["plugins"] = [{"name": plugin.name, "type": plugin.type, "role": plugin.role} for plugin in policy.plugins]
        page["handler"] = policy.handler.name
        page["saturation_detector"] = policy.detector.name
        page["notes"] = list(policy.notes)
    page["faults"] = faults_of(rules)
    if rules.prefix is not None:
        page["prefix_index"] = {"blocks": rules.prefix.blocks, "memory_bytes": rules.prefix.memory_bytes}
    return page


def faults_of(rules: Rules) -> dict[str, int]:
    """Return how often each plugin failed, by its name."""
    if rules.policy is not None:
        return dict(rules.policy.faults)
    return dict(rules.scheduler.faults.counts) if isinstance(rules.scheduler, Profile) else {}


def _endpoint(pool: Pool, endpoint: Endpoint, now: float) -> dict[str, Any]:
    columns, row = pool.columns, endpoint.row
    scraped = float(columns.scraped_at[row])
    return {
        "name": endpoint.name,
        "pod": endpoint.pod,
        "address": endpoint.address,
        "waiting": columns.waiting[row],
        "running": columns.running[row],
        "kv_usage": columns.kv_usage[row],
        "in_flight": columns.inflight[row],
        "in_flight_tokens": columns.inflight_tokens[row],
        "active_adapters": _adapters(columns.adapters, row),
        "resident_adapters": _adapters(columns.resident, row),
        "failed_scrapes": columns.failed_scrapes[row],
        "scraped_seconds_ago": None if math.isinf(scraped) else round(now - scraped, 3),
    }


def _adapters(masks: Mapping[str, Any], row: int) -> list[str]:
    return sorted(name for name, mask in masks.items() if mask[row])


def _model(served: Served, unlisted: Set[tuple[str, str]]) -> dict[str, Any]:
    return {
        "name": served.name,
        "source": served.source,
        "criticality": served.criticality or None,
        "sticky": served.sticky or None,
        "targets": [
            {"name": name, "weight": weight, "held_back": (served.source, name) in unlisted}
            for name, weight in served.targets
        ],
    }


def _profile(name: str, profile: Profile) -> dict[str, Any]:
    return {
        "name": name,
        "filters": _names(profile.filters),
        "scorers": [{"name": scorer.name, "weight": weight} for scorer, weight in profile.scorers],
        "picker": profile.picker.name,
    }


def _names(plugins: Iterable[Any]) -> list[str]:
    return [plugin.name for plugin in plugins]
