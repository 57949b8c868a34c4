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
    check_update,
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
        self._uids: dict[tuple[PolicyKind, str], str] = {}
        self._refused: dict[tuple[str, str], tuple[Problem, ...]] = {}
        self._refused_pods: dict[str, dict[tuple[str, str], tuple[Problem, ...]]] = {}
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
        all_refused = dict(self._refused)
        for of_selector in self._refused_pods.values():
            all_refused |= of_selector
        refused = [str(problem) for _, problems in sorted(all_refused.items()) for problem in problems]
        return refused + self._doubles()

    def _doubles(self) -> list[str]:
        """Objects that an object of the same kind and name in a newer group keeps out."""
        counted: dict[tuple[str, str], PolicyKind] = {}
        told = []
        for kind in POLICIES:
            for name in sorted(self._good[kind]):
                winner = counted.setdefault((kind.kind, name), kind)
                if winner is not kind:
                    told.append(
                        f"{kind.kind} {self._pool.namespace}/{name} of {kind.group} is not used: the one of"
                        f" {winner.group} with that name counts; delete one of the two"
                    )
        return told

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
                self._uids.pop((kind, name), None)
            self._pending[Key(kind.kind, self._pool.namespace, name)] = None

    def _put_policy(self, kind: PolicyKind, collection: Collection, record: PolicyRecord) -> None:
        found = read(record.document(kind.kind, kind.api_version), Origin(collection.path))
        place, name = (collection.path, record.name), record.name
        resource, problems = found.resource, found.problems
        before = self._good[kind].get(name)
        # Another uid is another object: it was deleted in between, however little was seen of that.
        if resource is not None and before is not None and self._uids[kind, name] == record.metadata.uid:
            unlike = check_update(before, resource)
            if unlike:
                resource, problems = None, (*problems, *unlike)
        if problems:
            self._refused[place] = problems
        else:
            self._refused.pop(place, None)
        if resource is not None:
            self._good[kind][name] = resource
            self._uids[kind, name] = record.metadata.uid

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
                self._put_pod(collection, selector, change.item, document)
            else:
                name = change.name
                documents.pop(name, None)
                pods.pop(name, None)
                self._refused_pods.get(selector, {}).pop((collection.path, name), None)
            if selector == self._given_selector:
                self._pending_pods[name] = None

    def _put_pod(self, collection: Collection, selector: str, record: PodRecord, document: dict[str, Any]) -> None:
        pods, refused = self._pods[selector], self._refused_pods.setdefault(selector, {})
        place = (collection.path, record.name)
        try:
            resource = parse_resource(document, Origin(collection.path))
        except InvalidResource as invalid:
            refused[place] = invalid.problems
            if not record.serving:
                pods.pop(record.name, None)  # whatever else is wrong with it: it was ready, and is not any more
            return
        refused.pop(place, None)
        assert isinstance(resource, Pod)
        pods[record.name] = resource

    def forget_pods(self, selector: str) -> None:
        """Nobody follows the pods of ``selector`` any more."""
        self._pods.pop(selector, None)
        self._documents.pop(selector, None)
        self._refused_pods.pop(selector, None)

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
