"""``decision-tree``: filters arranged as a tree, the shape of the guide release's policy.

A node applies its filter. If rows are left it succeeded: they go on to ``then``. If none is left it failed: the rows
it was given go on to ``otherwise``. Where there is no next node the result stands. Source: the filter combinator of
the Gateway API Inference Extension v0.2 and v0.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from signalbox.pool import Rows
from signalbox.scheduling.framework import Cycle, FewFilter, Step


@dataclass(frozen=True, slots=True)
class Node:
    """One filter of a tree and where to go from it."""

    filter: FewFilter
    then: Node | None = None
    otherwise: Node | None = None


@dataclass(frozen=True, slots=True)
class DecisionTree:
    """Two trees: one for critical requests (priority above zero), one for the others."""

    critical: Node
    other: Node
    name: str = "decision-tree"

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Walk the tree that fits the request; empty where its last node left nothing."""
        node: Node | None = self.critical if cycle.priority > 0 else self.other
        while node is not None:
            kept = node.filter.keep(cycle, rows)
            cycle.steps.append(Step(node.filter.name, len(rows), len(kept), kept))
            if len(kept):
                rows, node = kept, node.then
            elif node.otherwise is not None:
                node = node.otherwise
            else:
                return kept
        return rows

    def keep_few(self, cycle: Cycle, rows: list[int]) -> list[int]:
        """Return the same."""
        node: Node | None = self.critical if cycle.priority > 0 else self.other
        steps = cycle.steps
        count = len(rows)
        while node is not None:
            chooser = node.filter
            kept = chooser.keep_few(cycle, rows)
            before = count
            count = len(kept)
            steps.append(Step(chooser.name, before, count, kept))
            if count:
                rows, node = kept, node.then
            elif node.otherwise is not None:
                node, count = node.otherwise, before
            else:
                return kept
        return rows
