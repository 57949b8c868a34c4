"""What one endpoint holds in one kind of memory: its engine's blocks, and which of ours they make up.

Where both have one size an engine's block is one of ours. Where the engine's is a multiple, one of its blocks is
several of ours. Where ours is a multiple, several of the engine's make up one of ours, and that is held only while all
of them are: such a *whole* knows which of its parts are missing, and a part that comes back completes it again.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Place(msgspec.Struct, frozen=True):
    """Where an engine's block lies among ours, where the sizes differ."""

    keys: tuple[int, ...]
    """Blocks of ours that it completes."""
    end: int
    """The last block of ours that is complete at its end."""
    rest: bytes = b""
    """Token ids behind that."""
    extras: frozenset[str] = frozenset()
    """What belongs to the unfinished block."""
    parts: tuple[int, ...] = ()
    """Engine's blocks since the last boundary of ours, this one included, where several make up one."""


class _Whole(msgspec.Struct, eq=False):
    """A block of ours that several of the engine's make up."""

    key: int
    parts: tuple[int, ...]
    missing: int = 0


class Holding:
    """The engine's blocks of one endpoint in one medium. ``len()`` counts them."""

    __slots__ = ("_again", "_alike", "_places", "_wholes")

    def __init__(self) -> None:
        self._places: dict[int, int | Place] = {}
        self._again: dict[int, int] = {}
        """How often a block was stored beyond the first time, where it was."""
        self._alike: dict[int, int] = {}
        """How often a block of ours is held beyond the first time, where it is."""
        self._wholes: dict[int, list[_Whole]] = {}
        """By part, those that are held and those that are not: a whole lives as long as any of its parts."""

    def __len__(self) -> int:
        return len(self._places)

    def place(self, block: int) -> int | Place | None:
        """Return where a block lies that is held; a number is the key of the block of ours that it is."""
        return self._places.get(block)

    def again(self, block: int) -> None:
        """A block that is held was stored once more: it will have to be removed once more."""
        self._again[block] = self._again.get(block, 0) + 1

    def store(self, block: int, place: int | Place) -> Sequence[int]:
        """Hold a block that is not held; return the blocks of ours that it completes."""
        self._places[block] = place
        if type(place) is int:
            return (place,)
        assert isinstance(place, Place)
        if not place.parts:
            return place.keys
        gained = []
        wholes = self._wholes.get(block)
        if wholes is not None:
            for whole in wholes:
                whole.missing -= 1
                if not whole.missing:
                    gained.append(whole.key)
        if place.keys and not any(whole.parts == place.parts for whole in wholes or ()):
            whole = _Whole(place.keys[0], place.parts)
            for part in place.parts:
                self._wholes.setdefault(part, []).append(whole)
                whole.missing += part not in self._places
            if not whole.missing:
                gained.append(whole.key)
        return gained

    def remove(self, block: int) -> Sequence[int]:
        """Take one storing of a block back; return the blocks of ours that are incomplete without it."""
        if self._again:
            count = self._again.get(block, 0)
            if count > 1:
                self._again[block] = count - 1
                return ()
            if count:
                del self._again[block]
                return ()
        place = self._places.pop(block, None)
        if place is None:
            return ()
        if type(place) is int:
            return (place,)
        assert isinstance(place, Place)
        if not place.parts:
            return place.keys
        lost = []
        for whole in tuple(self._wholes.get(block, ())):
            whole.missing += 1
            if whole.missing == 1:
                lost.append(whole.key)
            if whole.missing == len(whole.parts):
                self._dissolve(whole)
        return lost

    def one_more(self, key: int) -> None:
        """A block of ours that is held was completed once more, by blocks with other hashes."""
        self._alike[key] = self._alike.get(key, 0) + 1

    def one_less(self, key: int) -> bool:
        """A block of ours became incomplete; return whether none like it is left."""
        count = self._alike.get(key, 0)
        if not count:
            return True
        if count == 1:
            del self._alike[key]
        else:
            self._alike[key] = count - 1
        return False

    def completed(self) -> set[int]:
        """Return every block of ours that is held."""
        found: set[int] = set()
        for place in self._places.values():
            if isinstance(place, int):
                found.add(place)
            elif not place.parts:
                found.update(place.keys)
        for wholes in self._wholes.values():
            found.update([whole.key for whole in wholes if not whole.missing])
        return found

    def _dissolve(self, whole: _Whole) -> None:
        for part in whole.parts:
            wholes = self._wholes[part]
            wholes.remove(whole)
            if not wholes:
                del self._wholes[part]
