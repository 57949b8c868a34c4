"""Which models each server says it can be asked for.

A server's list has its base model under every name it answers to, and the adapters that were loaded into it, whether
or not they are in a GPU slot at the moment. It is the one signal that tells a request which will be answered from one
that will be refused with 404, and so it decides where an adapter's requests may go and whether a canary may begin.
"""

from __future__ import annotations

from dataclasses import dataclass

from signalbox.pool.columns import Columns, Rows


@dataclass(frozen=True, slots=True)
class ModelList:
    """The models of one server: every name it answers to, and which of them are adapters."""

    names: frozenset[str]
    adapters: frozenset[str] = frozenset()


class Listings:
    """Writes the columns ``loaded``, ``listed`` and ``loaded_adapters``."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._lists: dict[int, ModelList] = {}

    def record(self, row: int, models: ModelList) -> bool:
        """Take in the list of one server; return whether it is news."""
        if self._lists.get(row) == models:
            return False
        self._lists[row] = models
        self._write(row, models)
        return True

    def refused(self, row: int, name: str) -> bool:
        """The server answered 404 for ``name``; return whether it was listed. The next list will say what is so."""
        models = self._lists.get(row)
        if models is None or name not in models.names:
            return False
        return self.record(row, ModelList(models.names - {name}, models.adapters - {name}))

    def forget(self, row: int) -> bool:
        """The list of one server is not known any more; return whether it was."""
        if self._lists.pop(row, None) is None:
            return False
        self._write(row, None)
        return True

    def _write(self, row: int, models: ModelList | None) -> None:
        columns = self._columns
        columns.set_names(columns.loaded, row, frozenset() if models is None else models.names)
        columns.listed[row] = models is not None
        columns.listed_rows = len(self._lists)
        columns.loaded_adapters = frozenset().union(*(known.adapters for known in self._lists.values()))

    def names(self, rows: Rows) -> frozenset[str] | None:
        """Return every name that is listed by one of ``rows``; ``None`` where none of them has a list."""
        known = [self._lists[row] for row in rows.tolist() if row in self._lists]
        return frozenset().union(*(models.names for models in known)) if known else None


def able(columns: Columns, target: str, rows: Rows) -> Rows:
    """Return those of ``rows`` that may answer for ``target``: who lists it, and who has no list.

    All of them where none does: better a server's own refusal than one made of what may be old.
    """
    if not columns.listed_rows:
        return rows
    mask = columns.loaded.get(target)
    if mask is None:
        return rows
    may: Rows = rows[mask[rows] | ~columns.listed[rows]]
    return may if len(may) else rows
