"""``disaggregatedset-rollout-screener``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, model_validator

from signalbox.pool import Endpoint, Rows
from signalbox.resources.limits import text, unique_by
from signalbox.resources.scalars import LabelKey, LabelValue
from signalbox.resources.strict import describe, fault
from signalbox.scheduling.derived import Derived, label_masks
from signalbox.scheduling.framework import Cycle, Decision
from signalbox.scheduling.headers import HeaderName
from signalbox.scheduling.plugin import Parameters, ScreenerPlugin

_REVISION = "disaggregatedset.x-k8s.io/revision"
_ROLE = "disaggregatedset.x-k8s.io/role"


def _selector(value: object) -> object:
    """Read ``key=value`` pairs with commas between them."""
    if not isinstance(value, str):
        raise fault(f"expected a label selector, got {describe(value)}", "write 'label=value', with commas between")
    found: dict[str, str] = {}
    for pair in value.split(","):
        key, equals, wanted = pair.replace("==", "=").partition("=")
        if not equals or not key.strip() or key.strip().endswith("!"):
            raise fault(f"{pair.strip()!r} is not 'label=value'", "only equality is supported: use 'label=value'")
        found[key.strip()] = wanted.strip()
    return found


class Scope(Parameters):
    """Which endpoints are counted."""

    label_selector: Annotated[dict[str, str], BeforeValidator(_selector)]
    """Labels of the set's pods, as ``label=value`` with commas between."""


class HeaderSelector(Parameters):
    """A header that names a label's value."""

    name: Annotated[str, text(1, 63)]
    """What to call it."""
    header_name: HeaderName
    """The header of requests and answers."""
    label_key: LabelKey
    """The label of endpoints."""
    mode: Literal["strict", "prefer"]
    """Whether a request that has the header sees endpoints with that label only, or the header is only set on answers:
    header-label-affinity-scorer prefers them."""


class RequiredRoles(Parameters):
    """The roles a revision needs."""

    values: tuple[LabelValue, ...] = ()
    """Each must have an endpoint."""


class RevisionGating(Parameters):
    """How a revision is chosen for a request that names none."""

    mode: Literal["sum", "max-role", "disabled"]
    """What a revision weighs: all its pods, or those of the role of which there are most; or not to choose one."""
    require_roles: RequiredRoles = RequiredRoles()
    """The roles it needs."""
    revision_label_key: LabelKey = _REVISION
    """Label that names an endpoint's revision."""
    role_label_key: LabelKey = _ROLE
    """Label that names its role."""

    @model_validator(mode="after")
    def _roles_where_needed(self) -> RevisionGating:
        if self.mode != "disabled" and not self.require_roles.values:
            raise fault(f"must hold at least one role for {self.mode}", "add values: [prefill, decode]", "requireRoles")
        return self


class RolloutParameters(Parameters):
    """Parameters of disaggregatedset-rollout-screener."""

    scope: Scope
    """Which endpoints are counted."""
    header_selectors: Annotated[tuple[HeaderSelector, ...], unique_by("name")] = ()
    """Headers that name a label's value."""
    revision_gating: RevisionGating
    """How a revision is chosen."""


class RolloutScreener(ScreenerPlugin[RolloutParameters]):
    """Prefill and decode servers of one revision only, while another is rolled out.

    A strict headerSelector whose header a request has leaves only endpoints with that label. Otherwise a revision is
    drawn among those that have an endpoint in every role of requireRoles, and only its endpoints stay. It weighs its
    pods in these roles (sum), or those in the role of which all such revisions together have most (max-role; the first
    in the list of equal ones). Where no revision is whole, or a header names none, the request has no endpoint. Answers
    get each selector's header with the label of who served. Source: disaggregatedset-rollout-screener of llm-d, which
    answers 503 where there is no endpoint; here it is 429, as where filters leave nobody.
    """

    type = "disaggregatedset-rollout-screener"
    use = "A DisaggregatedSet in a rollout, whose revisions cannot exchange KV cache."

    def __init__(self, parameters: RolloutParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._gating = self.parameters.revision_gating
        self._revisions = label_masks(self._gating.revision_label_key)
        self._weights: Derived[dict[str, int]] = Derived(self._weigh)
        self._selectors = [
            (selector, label_masks(selector.label_key), selector.header_name.lower())
            for selector in self.parameters.header_selectors
        ]

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the rows of one revision, or those that the request's headers name."""
        named = False
        for selector, masks, header in self._selectors:
            wanted = cycle.headers.get(header)
            if selector.mode != "strict" or not wanted:
                continue
            mask = masks.of(cycle).get(wanted)
            rows = rows[:0] if mask is None else rows[mask[rows]]
            named = named or selector.label_key == self._gating.revision_label_key
        if self._gating.mode == "disabled" or not len(rows):
            return rows
        weights = self._weights.of(cycle)
        revisions = self._revisions.of(cycle)
        here = [name for name in weights if revisions[name][rows].any()]
        if not here:
            return rows[:0]
        if named:  # by a header, so that all rows are of one revision
            return rows
        chosen = cycle.rng.choices(here, [weights[name] for name in here])[0]
        kept: Rows = rows[revisions[chosen][rows]]
        return kept

    def answer_headers(self, cycle: Cycle, decision: Decision) -> Mapping[str, str]:
        """Return the labels of who serves the request."""
        endpoint = cycle.endpoints.get(decision.rows[0])
        labels: Mapping[str, str] = {} if endpoint is None else endpoint.labels
        return {
            header: labels[selector.label_key]
            for selector, _, header in self._selectors
            if labels.get(selector.label_key)
        }

    def _weigh(self, endpoints: Mapping[int, Endpoint], size: int) -> dict[str, int]:
        """Return what each whole revision weighs."""
        del size
        gating, wanted = self._gating, self.parameters.scope.label_selector
        pods = {
            (labels[gating.revision_label_key], labels.get(gating.role_label_key, ""), endpoint.namespace, endpoint.pod)
            for endpoint in endpoints.values()
            for labels in [endpoint.labels]
            if labels.get(gating.revision_label_key) and all(labels.get(key) == value for key, value in wanted.items())
        }
        counts = Counter((revision, role) for revision, role, *_ in sorted(pods))
        roles = gating.require_roles.values
        whole = [
            revision for revision in dict.fromkeys(name for name, _ in counts)
            if all(counts[revision, role] for role in roles)
        ]  # fmt: skip
        if gating.mode == "max-role" and whole:
            roles = (max(roles, key=lambda role: sum(counts[revision, role] for revision in whole)),)
        return {revision: sum(counts[revision, role] for role in roles) for revision in whole}
