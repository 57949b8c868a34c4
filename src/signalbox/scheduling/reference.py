"""The plugin reference page, written from the classes.

``python -m signalbox.scheduling.reference > docs/plugins.md`` writes it anew.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from signalbox.scheduling.configuration.accepted import ACCEPTED
from signalbox.scheduling.configuration.models import DEFAULT_SCORERS
from signalbox.scheduling.configuration.unsupported import GATES, UNSUPPORTED
from signalbox.scheduling.plugin import Plugin
from signalbox.scheduling.registry import BUILTIN, GROUP, ROLES

_ROLES = {
    "scorer": "Each gives every candidate a number from 0 to 1; the profile multiplies by the weight and adds up.",
    "filter": "Each leaves out candidates. If none is left the request is refused.",
    "picker": "Orders the candidates by their scores. Name one in each profile, or none for max-score-picker.",
    "handler": "Decides which profiles run. Name one, or none where there is one profile.",
    "decider": "Says whether a stage of disaggregated serving runs; named by disagg-profile-handler.",
    "detector": "Says how full the pool is. Referred to by `saturationDetector`; may also stand in a profile, among the"
    " filters.",
    "producer": "Each finds something out for other plugins. Listing one is enough; a plugin that asks one brings it"
    " along.",
    "admitter": "Each is asked about requests with a priority below zero, before an endpoint is chosen, in the order of"
    " the file. The first that says no ends it: a 429 that names the admitter. Listing one is enough.",
    "screener": "Each leaves out endpoints before any profile runs, so that all stages of a request choose among the"
    " same ones. Listing one is enough.",
    "fairness policy": "Says which flow goes next among the requests of one priority that wait; a flow is those with"
    " one fairness id. Named by `fairnessPolicyRef` of a band of `flowControl`: by its name in `plugins`, or one of"
    " these by its type, which then need not be listed. This role and those below have an effect where the feature gate"
    " `flowControl` is on.",
    "ordering policy": "Says which request of a flow goes first. Named by `orderingPolicyRef` of a band.",
    "usage limit policy": "Gives each priority a ceiling: its requests wait while the pool is at least as full as that,"
    " and so do those of lower priorities. May give single requests a lower one; then who arrives, and who matters"
    " less, may pass by those who wait for it. Named by `flowControl.usageLimitPolicyPluginRef`.",
    "identity source": "Says who sends a request that names no fairness id itself. Listing one is enough; the first"
    " that knows counts.",
}


def plugin_reference() -> str:
    """Return the page, in Markdown."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield "# Scheduling plugins"
    yield ""
    yield "Written from the classes by `python -m signalbox.scheduling.reference`; a test keeps it up to date."
    yield ""
    yield _rules()
    for role in ROLES:
        members = [plugin for plugin in BUILTIN.values() if plugin.role == role]
        yield f"## {_plural(role.capitalize())}"
        yield ""
        yield _ROLES[role]
        yield ""
        for plugin in members:
            yield from _entry(plugin)
    yield from _others()


_RULES = """\
An `EndpointPickerConfig` (`llm-d.ai/v1alpha1` or `inference.networking.x-k8s.io/v1alpha1`) lists plugins and puts them
into profiles. `signalbox validate FILE` checks it; `signalbox validate --schema` prints a JSON Schema for editors.

- Plugins run in the order of the file. The order of scorers changes no score and no choice.
- Without profiles, one is made of every filter, scorer and picker that is listed, scorers with weight 1; where no
  scorer is listed, with these: DEFAULTS.
- `reachable` comes before the first filter that states a preference in every profile that does not name it.
- A decision names three endpoints, the choice and two fallbacks, unless the picker says `maxNumOfEndpoints`. What a
  filter leaves out is not named either, unless it is marked as a preference below and no filter without that mark
  comes after it.
- A preference never leaves a request without an endpoint. Where a filter without that mark finds nobody among those
  that preferences before it kept, the profile begins again: filters without the mark first, then the preferences.
- A plugin that raises is left out of that decision, counted and logged once; the decision goes on.
- Other packages bring plugins through the entry point group `GROUP`; see `examples/plugins`.
"""


def _rules() -> str:
    defaults = ", ".join(f"{name} {weight:g}" for name, weight in DEFAULT_SCORERS.items())
    return _RULES.replace("DEFAULTS", defaults).replace("GROUP", GROUP)


def _plural(noun: str) -> str:
    return f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"


def _entry(plugin: type[Plugin[Any]]) -> Iterator[str]:
    summary, _, details = inspect.cleandoc(plugin.__doc__ or "").replace("``", "`").partition("\n\n")
    yield f"### {plugin.type}"
    yield ""
    yield summary
    yield ""
    yield details
    yield ""
    if getattr(plugin, "preference", False):
        yield "A preference: what it leaves out may still be a fallback."
        yield ""
    yield f"*When:* {plugin.use}"
    yield ""
    rows = list(_rows(plugin.parameter_model))
    if rows:
        yield "| parameter | default | meaning |"
        yield "|---|---|---|"
        yield from rows
        yield ""


def _rows(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, info in model.model_fields.items():
        label = prefix + (info.alias or name)
        nested = _nested(info.annotation)
        meaning = " ".join((info.description or "").replace("``", "`").split())
        default = info.get_default(call_default_factory=True) if not info.is_required() else None
        shown = "required" if info.is_required() else _written(default)
        if nested is None or meaning:
            yield f"| `{label}` | {shown} | {meaning} |"
        if nested is not None:
            yield from _rows(nested, f"{label}.")


def _nested(annotation: object) -> type[BaseModel] | None:
    return annotation if inspect.isclass(annotation) and issubclass(annotation, BaseModel) else None


def _written(value: object) -> str:
    if isinstance(value, BaseModel):
        return ""
    if isinstance(value, tuple):
        value = [
            item.model_dump(by_alias=True, exclude_none=True) if isinstance(item, BaseModel) else item for item in value
        ]
    return "" if value in ("", None, {}) or value == [] else f"`{json.dumps(value)}`"


def _others() -> Iterator[str]:
    yield "## Types that need no plugin"
    yield ""
    yield "Accepted and referred to as in the reference; what they stand for is built in."
    yield ""
    yield "| type | role | what to know |"
    yield "|---|---|---|"
    for name, accepted in ACCEPTED.items():
        notes = "; ".join(note for note in (accepted.note, accepted.parameter_note) if note)
        yield f"| {name} | {accepted.role} | {notes} |"
    yield ""
    yield "## Types that are not supported"
    yield ""
    yield "A configuration that lists one is refused with the reason."
    yield ""
    yield "| type | reason |"
    yield "|---|---|"
    for name, reason in UNSUPPORTED.items():
        yield f"| {name} | {reason} |"
    yield ""
    yield "## Feature gates"
    yield ""
    yield "| gate | here |"
    yield "|---|---|"
    for name, effect in GATES.items():
        yield f"| {name} | {effect or 'no effect'} |"


if __name__ == "__main__":
    sys.stdout.write(plugin_reference())
