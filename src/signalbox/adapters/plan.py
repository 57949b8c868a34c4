"""What has to be done to a model server: a pure function of what is wanted, what is listed and what is believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signalbox.adapters.config import Adapter, SyncConfig


@dataclass(frozen=True, slots=True)
class Belief:
    """What a listed adapter was made from, as far as we know.

    ``source`` is the configured source it was loaded from, or was taken to be from when we first saw it; ``root`` is
    what the server listed for it then (``None``: not seen since we loaded it).
    """

    source: str
    root: str | None


NOTHING_KNOWN: Mapping[str, Belief] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Plan:
    """The work of one pass, in the order of the configuration.

    ``reload`` are adapters whose source changed: unload, then load. ``conflicts`` are ids in both lists, which are left
    alone; ``protected`` are ids in either list that are names of a base model. ``unconfirmed`` maps ids in
    ``already_present`` whose listed root is not the source to that root. ``beliefs`` are for the next call of ``plan``.
    """

    load: tuple[Adapter, ...] = ()
    unload: tuple[str, ...] = ()
    reload: tuple[Adapter, ...] = ()
    already_present: tuple[str, ...] = ()
    already_absent: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    unconfirmed: Mapping[str, str] = field(default_factory=dict)
    beliefs: Mapping[str, Belief] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Nothing is to be done."""
        return not (self.load or self.unload or self.reload)


def plan(
    config: SyncConfig,
    registered: Mapping[str, str | None],
    beliefs: Mapping[str, Belief] = NOTHING_KNOWN,
    base_models: frozenset[str] = frozenset(),
) -> Plan:
    """Compare the configuration with the adapters a server lists.

    ``registered`` maps the id of each listed adapter to its root, as /v1/models reports them. An adapter that neither
    list names is somebody else's and left alone.

    A root is evidence of a source only where both are equal: a server may list the local path a hub id was
    resolved to. So an adapter is reloaded for one reason only: the configuration once gave another source for what is
    listed now (we loaded it, or found it, under that source), and the root does not show that the new one is in place
    already. After the reload the belief holds the new source, whatever the root: the same configuration never reloads
    twice. If the root changes later, somebody else has loaded the adapter, and we start again from not knowing.
    """
    exist = {adapter.id: adapter for adapter in config.ensure_exist.models}
    absent = {adapter.id: adapter for adapter in config.ensure_not_exist.models}
    conflicts = tuple(id for id in exist if id in absent)
    protected = tuple(id for id in {**exist, **absent} if id in base_models and id not in conflicts)
    skipped = {*conflicts, *protected}
    load, reload, present = [], [], []
    unconfirmed: dict[str, str] = {}
    now_believed = {id: belief for id, belief in beliefs.items() if id in registered}
    for id, adapter in exist.items():
        if id in skipped:
            continue
        if id not in registered:
            load.append(adapter)
            continue
        root, belief = registered[id], now_believed.get(id)
        if belief and belief.root is not None and belief.root != root:
            belief = None
        if belief and adapter.source not in (belief.source, root):
            reload.append(adapter)
            continue
        if belief is None and root is not None and root != adapter.source:
            unconfirmed[id] = root
        now_believed[id] = Belief(adapter.source, root)
        present.append(id)
    return Plan(
        load=tuple(load),
        unload=tuple(id for id in absent if id not in skipped and id in registered),
        reload=tuple(reload),
        already_present=tuple(present),
        already_absent=tuple(id for id in absent if id not in skipped and id not in registered),
        conflicts=conflicts,
        protected=protected,
        unconfirmed=unconfirmed,
        beliefs=now_believed,
    )
