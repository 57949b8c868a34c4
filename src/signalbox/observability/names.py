"""How many different model names may become labels."""

from __future__ import annotations

from collections.abc import Container

OTHER = "other"
LONGEST = 256


class NameGuard:
    """Lets a bounded number of names through; every later one becomes ``other``.

    Model names come out of request bodies, so without a bound one client could fill the memory of the picker and of
    the Prometheus that scrapes it. Names longer than `LONGEST` characters, names that are not valid Unicode and
    names with control characters are ``other`` from the start.
    """

    def __init__(self, limit: int, known: Container[str] = ()) -> None:
        """``limit`` names are let through, besides those in ``known``."""
        self._limit = limit
        self._known = known
        self._names: set[str] = set()

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def admit(self, name: str) -> str:
        """Return ``name``, or ``other`` when it may not become a label."""
        if name in self._names or name in self._known or not name:
            return name
        if len(self._names) >= self._limit or len(name) > LONGEST or not _encodable(name):
            return OTHER
        self._names.add(name)
        return name


def _encodable(name: str) -> bool:
    if any(character < " " or character == "\x7f" for character in name):
        return False
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
