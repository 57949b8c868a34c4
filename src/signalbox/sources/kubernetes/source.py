"""A pool's state from a Kubernetes API server, followed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from random import Random

from signalbox.cluster import Api, Change, Codec, Collection, Follower, Phase, Reflector
from signalbox.pool import Pool
from signalbox.sources.kubernetes.assembly import Assembly, selector_of
from signalbox.sources.kubernetes.kinds import POLICIES, POOLS, PolicyKind, pod_collection
from signalbox.sources.kubernetes.records import PodRecord, PolicyRecord
from signalbox.sources.said import Said

BATCH_SECONDS = 0.05
"""Changes are handed to the pool at once, and then not again for this long, so that 1,000 pods that become ready one
after the other are sorted out a few dozen times."""


@dataclass(frozen=True, slots=True)
class CollectionState:
    """How the following of one collection is doing."""

    resource: str
    """``plural.group``."""
    phase: Phase
    objects: int
    stale_seconds: float
    """For how long changes may have gone unseen; 0 while it is followed."""
    lists: int
    events: int
    problem: str
    """Why it cannot be followed; empty while it can."""


class KubernetesSource:
    """Keeps ``pool`` in line with its InferencePool, that pool's pods, models, objectives and rewrites.

    While the API server is away the last state stays in force. Kinds that are not installed are asked for again every
    ``absent_seconds``.
    """

    def __init__(
        self,
        api: Api,
        pool: Pool,
        *,
        group: str | None = None,
        absent_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        rng: Random | None = None,
    ) -> None:
        """``group`` is the API group of the InferencePool; both are looked at without it, and the stable one counts."""
        self._api = api
        self._pool = pool
        self._clock = clock
        self._rng = rng or Random()
        self._absent_seconds = absent_seconds
        self._assembly = Assembly(pool)
        self._said = Said()
        self._changed = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._pools = [kind for kind in POOLS if group in (None, kind.group)]
        codec = Codec(PolicyRecord)
        self._policies = {
            kind: self._policy_follower(kind, codec, pool.name if kind in POOLS else None)
            for kind in (*self._pools, *POLICIES)
        }
        self._pods: dict[str, Follower[PodRecord]] = {}

    @property
    def synced(self) -> bool:
        """Whether everything was read at least once; a pool that does not exist needs no pods for that."""
        return self._policies_known() and (self._assembly.wanted is None or self._known_selector() is not None)

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the objects as they are now, and with the following of them, one sentence each."""
        trouble = (
            f"{state.resource} cannot be followed: {state.problem}"
            for state in self.state()
            if state.problem and state.phase is not Phase.ABSENT
        )
        return (*self._said.current, *trouble)

    def state(self) -> list[CollectionState]:
        """How each collection is doing, now."""
        now = self._clock()
        followers: list[Follower[PodRecord] | Follower[PolicyRecord]] = [*self._policies.values(), *self._pods.values()]
        return [
            CollectionState(
                str(follower.collection),
                follower.reflector.phase,
                len(follower.reflector),
                follower.reflector.stale_seconds(now),
                follower.reflector.lists,
                follower.reflector.events,
                follower.reflector.problem,
            )
            for follower in followers
        ]

    def stale_seconds(self) -> float:
        """For how long anything may have changed unseen: the most over all collections."""
        return max(state.stale_seconds for state in self.state())

    async def changes(self) -> AsyncIterator[None]:
        """Follow for ever; one item each time the pool was told something.

        Raises whatever a follower ends with, which is a mistake in it: none ends by itself.
        """
        for kind, follower in self._policies.items():
            self._start(kind.collection(self._pool.namespace).path, follower)
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                for task in self._tasks.values():
                    if task.done():
                        task.result()
                self._follow_selected()
                told = self._policies_known() and self._assembly.flush(self._known_selector())
                self._follow_no_others()
                self._said.report([*self._assembly.problems, *map(str, self._pool.catalogue.conflicts)])
                if told:
                    yield
                await asyncio.sleep(BATCH_SECONDS)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.wait(self._tasks.values())

    # -- followers ----------------------------------------------------------------------------------------------

    def _policy_follower(
        self, kind: PolicyKind, codec: Codec[PolicyRecord], name: str | None
    ) -> Follower[PolicyRecord]:
        collection = kind.collection(self._pool.namespace, name)

        def deliver(changes: Sequence[Change[PolicyRecord]]) -> None:
            self._assembly.policies_changed(kind, collection, changes)
            self._changed.set()

        reflector: Reflector[PolicyRecord] = Reflector(self._rng, absent_seconds=self._absent_seconds)
        return Follower(self._api, collection, codec, reflector, deliver, self._clock)

    def _pod_follower(self, selector: str, collection: Collection) -> Follower[PodRecord]:
        def deliver(changes: Sequence[Change[PodRecord]]) -> None:
            self._assembly.pods_changed(collection, selector, changes)
            self._changed.set()

        reflector: Reflector[PodRecord] = Reflector(self._rng, absent_seconds=self._absent_seconds, builtin=True)
        return Follower(self._api, collection, Codec(PodRecord), reflector, deliver, self._clock)

    def _policies_known(self) -> bool:
        return all(follower.reflector.listed for follower in self._policies.values())

    def _known_selector(self) -> str | None:
        """The selector of the pool object, once its pods are known; having been refused them does not count. An empty
        one selects nothing, so that there is nothing to know."""
        wanted = self._assembly.wanted
        if wanted is not None and not selector_of(wanted):
            return ""
        follower = None if wanted is None else self._pods.get(selector_of(wanted))
        if wanted is None or follower is None or not follower.reflector.listed:
            return None
        if follower.reflector.phase is Phase.FORBIDDEN and follower.reflector.lists == 0:
            return None
        return selector_of(wanted)

    def _follow_selected(self) -> None:
        wanted = self._assembly.wanted
        # Without a label in it, a query would be one for all pods of the namespace.
        if wanted is not None and (selector := selector_of(wanted)) and selector not in self._pods:
            collection = pod_collection(self._pool.namespace, wanted.spec.selector.match_labels)
            self._pods[selector] = self._pod_follower(selector, collection)
            self._start(selector, self._pods[selector])

    def _follow_no_others(self) -> None:
        """Let go of the pods of earlier selectors, once those of the present one are in force."""
        known = self._known_selector()
        for selector in list(self._pods) if known is not None else ():
            if selector != known:
                del self._pods[selector]
                self._tasks.pop(selector).cancel()
                self._assembly.forget_pods(selector)

    def _start(self, name: str, follower: Follower[PodRecord] | Follower[PolicyRecord]) -> None:
        task = asyncio.create_task(follower.run(), name=name)
        task.add_done_callback(lambda _: self._changed.set())
        self._tasks[name] = task
