"""A bounded memory of what was used last."""

from __future__ import annotations

from typing import Generic, TypeVar

V = TypeVar("V")

# To forget half of everything at once takes milliseconds, and a request waits for it. So it is done in 16 parts, chosen
# by the four highest bits of a digest.
_SHIFT = 60
_SHARDS = 1 << (64 - _SHIFT)


class Recent(Generic[V]):
    """Values by 64-bit digests: about the ``room`` / 2 used last at least, and ``room`` at most, which is 32 or more.

    Two dictionaries: what is found in the old one moves to the young one, and once that is full it becomes the old
    one. So nothing is put in order when it is used, which is most of the time.
    """

    __slots__ = ("_half", "_old", "_young")

    def __init__(self, room: int) -> None:
        self._half = max(room // 2 // _SHARDS, 1)
        self._young: list[dict[int, V]] = []
        self._old: list[dict[int, V]] = []
        self.clear()

    def __len__(self) -> int:
        return sum([len(young | old) for young, old in zip(self._young, self._old, strict=True)])

    def get(self, digest: int) -> V | None:
        """Return what was put under ``digest``, and keep it; ``None`` where it is not known or no more."""
        shard = digest >> _SHIFT
        found = self._young[shard].get(digest)
        if found is None:
            found = self._old[shard].get(digest)
            if found is not None:
                self.put(digest, found)
        return found

    def put(self, digest: int, value: V) -> None:
        """Remember ``value``."""
        shard = digest >> _SHIFT
        young = self._young[shard]
        if len(young) >= self._half:
            self._old[shard] = young
            young = self._young[shard] = {}
        young[digest] = value

    def clear(self) -> None:
        """Forget everything."""
        self._young = [{} for _ in range(_SHARDS)]
        self._old = [{} for _ in range(_SHARDS)]
