"""From what collections hold to what the pool is told: no network, no clock.

The API server tells of each collection on its own, in any order. The pool is to see a state that makes sense: nothing
before everything was read once (a pool without its models serves any name), a new selector only with the pods it
selects, and of two groups' objects of the same name only one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from signalbox.cluster import Change, Collection, Put
from signalbox.pool import Pool
from signalbox.resources import (
    InferenceModel,
    InferenceModelRewrite,
    InferenceObjective,
    InferencePool,
    Key,
    Origin,
    Pod,
    Problem,
    Resource,
    parse_resource,
)
from signalbox.resources.problems import InvalidResource
from signalbox.sources.kubernetes.kinds import POLICIES, POOLS, PolicyKind
from signalbox.sources.kubernetes.reading import read
from signalbox.sources.kubernetes.records import PodRecord, PolicyRecord


class Assembly:
    """Gathers changes and hands them to ``pool`` when `flush` is called."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._good: dict[PolicyKind, dict[str, Resource]] = {kind: {} for kind in (*POOLS, *POLICIES)}
        self._refused: dict[tuple[str, str], tuple[Problem, ...]] = {}
        self._pods: dict[str, dict[str, Pod]] = {}
        self._documents: dict[str, dict[str, dict[str, Any]]] = {}
        self._pending: dict[Key, None] = {}
        self._pending_pods: dict[str, None] = {}
        self._given_selector: str | None = None

    @property
    def wanted(self) -> InferencePool | None:
        """The pool's own object as the API server has it; the pool may not have been told yet."""
        return self._wanted_pool()

    @property
    def problems(self) -> list[str]:
        """Objects that are not used, or not wholly, and why; one problem each, in order of collection and name."""
        return [str(problem) for _, problems in sorted(self._refused.items()) for problem in problems]

    # -- what is heard ------------------------------------------------------------------------------------------

    def policies_changed(
        self, kind: PolicyKind, collection: Collection, changes: Sequence[Change[PolicyRecord]]
    ) -> None:
        """Take changes of the objects of one kind and group."""
        for change in changes:
            name = change.item.name if isinstance(change, Put) else change.name
            if kind in POOLS and name != self._pool.name:
                continue
            if isinstance(change, Put) and not change.item.deleted:
                self._put_policy(kind, collection, change.item)
            else:
                self._refused.pop((collection.path, name), None)
                self._good[kind].pop(name, None)
            self._pending[Key(kind.kind, self._pool.namespace, name)] = None

    def _put_policy(self, kind: PolicyKind, collection: Collection, record: PolicyRecord) -> None:
        found = read(record.document(kind.kind, kind.api_version), Origin(collection.path))
        place = (collection.path, record.name)
        if found.problems:
            self._refused[place] = found.problems
        else:
            self._refused.pop(place, None)
        if found.resource is not None:
            self._good[kind][record.name] = found.resource

    def pods_changed(self, collection: Collection, selector: str, changes: Sequence[Change[PodRecord]]) -> None:
        """Take changes of the pods that ``selector`` selects; of a new one, before it is in force, too."""
        pods = self._pods.setdefault(selector, {})
        documents = self._documents.setdefault(selector, {})
        for change in changes:
            if isinstance(change, Put):
                name, document = change.item.name, change.item.document()
                if documents.get(name) == document:
                    continue
                documents[name] = document
                self._put_pod(collection, pods, name, document)
            else:
                name = change.name
                documents.pop(name, None)
                pods.pop(name, None)
                self._refused.pop((collection.path, name), None)
            if selector == self._given_selector:
                self._pending_pods[name] = None

    def _put_pod(self, collection: Collection, pods: dict[str, Pod], name: str, document: dict[str, Any]) -> None:
        try:
            resource = parse_resource(document, Origin(collection.path))
        except InvalidResource as invalid:
            self._refused[collection.path, name] = invalid.problems
            return
        self._refused.pop((collection.path, name), None)
        assert isinstance(resource, Pod)
        pods[name] = resource

    def forget_pods(self, selector: str) -> None:
        """Nobody follows the pods of ``selector`` any more."""
        self._pods.pop(selector, None)
        self._documents.pop(selector, None)

    # -- what is told -------------------------------------------------------------------------------------------

    def flush(self, complete_selector: str | None) -> bool:
        """Tell the pool what has changed since; return whether that was anything.

        ``complete_selector`` is the selector whose pods are known in full. A pool object with another selector waits.
        """
        told = False
        for key in list(self._pending):
            if key.kind != "InferencePool":
                del self._pending[key]
                told |= self._tell_policy(key)
        wanted = self._wanted_pool()
        own = Key("InferencePool", self._pool.namespace, self._pool.name)
        if own in self._pending and (wanted is None or selector_of(wanted) == complete_selector):
            if wanted is not None and complete_selector != self._given_selector:
                self._tell_pods_of(complete_selector)
            self._tell_pods(self._pending_pods)
            if self._pool.spec != wanted:
                self._pool.set_pool(wanted)
                told = True
            del self._pending[own]
        return self._tell_pods(self._pending_pods) or told

    def _tell_policy(self, key: Key) -> bool:
        for kind in POLICIES:
            if kind.kind == key.kind and key.name in self._good[kind]:
                resource = self._good[kind][key.name]
                assert isinstance(resource, InferenceModel | InferenceObjective | InferenceModelRewrite)
                self._pool.put(resource)
                return True
        self._pool.remove(key)
        return True

    def _wanted_pool(self) -> InferencePool | None:
        for kind in POOLS:
            resource = self._good[kind].get(self._pool.name)
            if isinstance(resource, InferencePool):
                return resource
        return None

    def _tell_pods_of(self, selector: str | None) -> None:
        """Exchange the pods of one selector for those of another."""
        before = self._pods.get(self._given_selector or "", {})
        self._given_selector = selector
        now = self._pods.get(selector or "", {})
        self._pending_pods = dict.fromkeys([*before, *now])

    def _tell_pods(self, names: Iterable[str]) -> bool:
        pods = self._pods.get(self._given_selector or "", {})
        told = False
        for name in names:
            pod = pods.get(name)
            if pod is None:
                self._pool.remove(Key("Pod", self._pool.namespace, name))
            else:
                self._pool.put(pod)
            told = True
        self._pending_pods = {}
        return told


def selector_of(pool: InferencePool) -> str:
    """Return a pool's selector in the notation of Kubernetes' query parameters: also its name here."""
    return ",".join(f"{name}={value}" for name, value in sorted(pool.spec.selector.match_labels.items()))
