"""What a director decides by: a way to choose, a gate, and a prefix index if the choice looks at prefixes.

The rules are one object so that a configuration is replaced between two requests and never half.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from signalbox.admission import AdmitterGate, Gate, OpenGate, SaturationGate, SheddableGate
from signalbox.admission.flow import FlowQueues
from signalbox.director.precise import PreciseTracker
from signalbox.director.prefixes import PrefixTracker
from signalbox.pool import Endpoint, Pool, Rows
from signalbox.scheduling import Cycle, Decision, GuideThresholds, Policy, guide_profile
from signalbox.scheduling.filters import HasCapacity


class Scheduler(Protocol):
    """Chooses endpoints."""

    def schedule(self, cycle: Cycle, rows: Rows) -> Decision | None:
        """Choose among ``rows``, which are not empty; ``None`` where none qualifies."""


def _nobody_minds(endpoint: Endpoint) -> None:
    """The guide's tree keeps nothing about endpoints."""


@dataclass(frozen=True, slots=True)
class Rules:
    """One way to decide, whole."""

    scheduler: Scheduler
    gate: Gate
    prefix: PrefixTracker | None = None
    configured: bool = False
    """Whether plugins of a configuration take part: they may look at headers, at media in the prompt and at the
    clock."""
    passthrough: bool = False
    """Whether a body that cannot be understood is routed all the same."""
    left: Callable[[Endpoint], None] = _nobody_minds
    """Told of every endpoint that leaves."""
    policy: Policy | None = None
    flow: FlowQueues | None = None
    """Where requests wait while the pool is full; ``None`` where they do not wait."""


def guide_rules(thresholds: GuideThresholds | None = None) -> Rules:
    """The guide release's policy: its filter tree, and its rule for what is shed."""
    limits = thresholds or GuideThresholds()
    return Rules(guide_profile(limits), SheddableGate(HasCapacity(limits.queue, limits.kv_cache)))


def policy_rules(policy: Policy, pool: Pool, previous: Rules | None = None) -> Rules:
    """The rules of a configuration. What ``previous`` rules have learned is kept where the new ones agree with them."""
    if previous is not None and previous.policy is not None:
        policy.adopt(previous.policy)
    tracker: PrefixTracker | None = None
    if policy.prefix is not None:
        kept = previous.prefix if previous is not None else None
        same = kept is not None and kept.parameters == policy.prefix
        if policy.precise is not None:
            precise, source = policy.precise
            same = same and isinstance(kept, PreciseTracker) and (kept.precise, kept.source) == policy.precise
            tracker = kept if same else PreciseTracker(pool, policy.prefix, precise, source)
        else:
            same = same and not isinstance(kept, PreciseTracker)
            tracker = kept if same else PrefixTracker(pool, policy.prefix)
    flow = None if policy.flow is None else FlowQueues(policy.flow)
    # What has waited for its turn is not shed then.
    gate: Gate = SaturationGate(policy.detector.name, policy.saturation) if flow is None else OpenGate()
    if policy.admitters:
        gate = AdmitterGate(gate, policy.admit)
    return Rules(
        scheduler=policy,
        gate=gate,
        prefix=tracker,
        configured=True,
        passthrough=policy.passthrough,
        left=policy.left,
        policy=policy,
        flow=flow,
    )
