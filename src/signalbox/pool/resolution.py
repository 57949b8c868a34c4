"""What a requested model name means."""

from __future__ import annotations


class Resolution:
    """What a requested model name means in a pool. Not to be changed."""

    __slots__ = ("priority", "rewrite", "target")

    def __init__(
        self,
        target: str,
        priority: int,
        rewrite: str = "",
    ) -> None:
        self.target = target
        self.priority = priority
        self.rewrite = rewrite
        """Name of the InferenceModelRewrite that chose the target, if one did."""

    def _values(self) -> tuple[str, int, str]:
        return self.target, self.priority, self.rewrite

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if isinstance(other, Resolution) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        return f"Resolution{self._values()}"
