"""The default policy: the filter tree of the get-started guide's release (Gateway API Inference Extension v0.2 and
v0.3).

::

    critical ─ low queue? ─ yes ─ adapter affinity ─ least queuing ─ least KV
                          └ no ── least queuing ─ adapter affinity ─ least KV
    others ─── has capacity? ─ yes ─ least queuing ─ adapter affinity ─ least KV
                             └ no ── as critical

The reference refuses every request that is not critical where none has capacity. Its documentation means less:
Sheddable goes first, Standard only after it. Here Sheddable is refused by ``admission`` before the tree, and Standard
takes the critical branch, so it waits in a server's queue instead of being turned away.
"""

from __future__ import annotations

from dataclasses import dataclass

from signalbox.scheduling.filters import (
    DecisionTree,
    HasCapacity,
    LeastKVCache,
    LeastQueuing,
    LoRAAffinity,
    LowQueue,
    Node,
    Reachable,
)
from signalbox.scheduling.pickers import MaxScorePicker
from signalbox.scheduling.profile import Profile


@dataclass(frozen=True, slots=True)
class GuideThresholds:
    """The four numbers of the guide release; v0.3 reads each from the environment variable named."""

    kv_cache: float = 0.8
    """KV_CACHE_THRESHOLD: KV usage up to which a request that is not critical is taken."""
    queue: float = 5
    """QUEUE_THRESHOLD_CRITICAL: queue length up to which a request that is not critical is taken."""
    queue_lora: float = 128
    """QUEUING_THRESHOLD_LORA: queue length under which an adapter's own endpoints are preferred."""
    lora_affinity: float = 0.999
    """LORA_AFFINITY_THRESHOLD: how often they are."""


def guide_tree(limits: GuideThresholds) -> DecisionTree:
    """Return the tree alone, for a profile of one's own."""
    affinity = LoRAAffinity(limits.lora_affinity)
    least_kv = Node(LeastKVCache())
    spread = Node(LeastQueuing(), then=Node(affinity, then=least_kv))
    critical = Node(
        LowQueue(limits.queue_lora),
        then=Node(affinity, then=Node(LeastQueuing(), then=least_kv)),
        otherwise=spread,
    )
    return DecisionTree(critical, Node(HasCapacity(limits.queue, limits.kv_cache), then=spread, otherwise=critical))


def guide_profile(thresholds: GuideThresholds | None = None) -> Profile:
    """Return the guide's policy, with ``reachable`` in front of it."""
    tree = guide_tree(thresholds or GuideThresholds())
    return Profile(filters=(Reachable(), tree), scorers=(), picker=MaxScorePicker(), name="guide")
