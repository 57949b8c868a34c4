"""``label-selector-filter``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from signalbox.pool import Endpoint, Rows
from signalbox.resources.scalars import LabelKey, Labels, LabelValue
from signalbox.resources.strict import fault
from signalbox.scheduling.derived import mask_column
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.plugin import FilterPlugin, Parameters


class Requirement(Parameters):
    """One expression of a label selector."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[LabelValue, ...] = ()

    @model_validator(mode="after")
    def _has_values_where_needed(self) -> Requirement:
        wants = self.operator in ("In", "NotIn")
        if wants and not self.values:
            raise fault(f"must hold at least one value for {self.operator}", "add values", "values")
        if not wants and self.values:
            raise fault(f"must be empty for {self.operator}", "remove values", "values")
        return self

    def holds(self, labels: dict[str, str]) -> bool:
        """Return whether labels meet the requirement, as Kubernetes defines it: NotIn also holds without the label."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case _:
                return self.key not in labels


class LabelSelectorParameters(Parameters):
    """Parameters of label-selector-filter: a Kubernetes label selector."""

    match_labels: Annotated[Labels, Field(default_factory=dict)]
    """Labels an endpoint must have."""
    match_expressions: tuple[Requirement, ...] = ()
    """Requirements an endpoint must meet, all of them."""


class LabelSelectorFilter(FilterPlugin[LabelSelectorParameters]):
    """Keep endpoints whose labels match a selector.

    Everything must match; a selector without conditions matches all. Source: label-selector-filter of llm-d and the
    label selectors of Kubernetes.
    """

    type = "label-selector-filter"
    use = "Profiles for a part of the pool: a hardware type, a zone, a revision."

    def __init__(self, parameters: LabelSelectorParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._mask = mask_column(self._matches)

    def _matches(self, endpoint: Endpoint) -> bool:
        labels = dict(endpoint.labels)
        return all(labels.get(key) == value for key, value in self.parameters.match_labels.items()) and all(
            requirement.holds(labels) for requirement in self.parameters.match_expressions
        )

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the rows that match."""
        kept: Rows = rows[self._mask.of(cycle)[rows]]
        return kept

    def keep_few(self, cycle: Cycle, rows: list[int]) -> list[int]:
        """Return the same."""
        mask = self._mask.of(cycle).tolist()
        return [row for row in rows if mask[row]]
