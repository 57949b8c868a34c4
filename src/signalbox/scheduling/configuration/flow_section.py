"""The section ``flowControl``: how requests wait in the picker."""

from __future__ import annotations

import math
from typing import Any

from signalbox.resources.suggestions import choose
from signalbox.scheduling.configuration.accepted import ACCEPTED
from signalbox.scheduling.configuration.findings import Findings, Path, article
from signalbox.scheduling.configuration.models import BandTemplate, EndpointPickerConfig, FlowControl
from signalbox.scheduling.configuration.plugin_section import Declared
from signalbox.scheduling.faults import Faults
from signalbox.scheduling.flow_settings import BandSettings, FlowSettings
from signalbox.scheduling.queueing import FairnessPlugin, IdentityPlugin, OrderingPlugin, UsageLimitPlugin
from signalbox.scheduling.registry import BUILTIN

GATE = "flowControl"
DEFAULT_FAIRNESS = "global-strict-fairness-policy"
DEFAULT_ORDERING = "fcfs-ordering-policy"
DEFAULT_USAGE_LIMIT = "static-usage-limit-policy"
BAND_BYTES = 1_000_000_000
BAND_REQUESTS = 5000
TTL = 60.0
"""Seconds."""

_HERE = "flowControl"
_POLICIES = (FairnessPlugin, OrderingPlugin, UsageLimitPlugin)


def build_flow(
    config: EndpointPickerConfig, declared: Declared, findings: Findings, faults: Faults
) -> FlowSettings | None:
    """Return how requests wait; ``None`` where the gate is off, and a note where something was said about it."""
    if not gate_is_on(config.feature_gates):
        _tell_off(config, declared, findings)
        return None
    settings = _Builder(config.flow_control or FlowControl(), declared, findings, faults).build()
    _tell_unused(declared, findings, settings)
    return settings


def gate_is_on(gates: tuple[str, ...]) -> bool:
    """Return whether the feature gate is switched on: by its last mention, off where there is none."""
    on = False
    for gate in gates:
        name, _, value = gate.partition("=")
        if name == GATE:
            on = value.lower() != "false"
    return on


class _Builder:
    """Builds the settings of one section."""

    def __init__(self, section: FlowControl, declared: Declared, findings: Findings, faults: Faults) -> None:
        self._section = section
        self._declared = declared
        self._findings = findings
        self._faults = faults

    def build(self) -> FlowSettings | None:
        section = self._section
        default = self._band(section.default_priority_band, (_HERE, "defaultPriorityBand"))
        negative = section.default_negative_priority_band
        below = default if negative is None else self._band(negative, (_HERE, "defaultNegativePriorityBand"))
        bands = {
            band.priority: self._band(band, (_HERE, "priorityBands", index))
            for index, band in enumerate(section.priority_bands)
        }
        limit: UsageLimitPlugin[Any] | None = self._policy(
            UsageLimitPlugin, section.usage_limit_policy_plugin_ref, DEFAULT_USAGE_LIMIT, "usageLimitPolicyPluginRef"
        )
        if default is None or below is None or limit is None or None in bands.values():
            return None
        self._tell_bands()
        ttl = TTL if section.default_request_ttl is None else section.default_request_ttl
        empty = section.no_endpoint_request_ttl
        return FlowSettings(
            default=default,
            negative=below,
            usage_limit=limit,
            bands={priority: band for priority, band in bands.items() if band is not None},
            max_bytes=_whole(section.max_bytes),
            max_requests=_whole(section.max_requests),
            ttl=ttl or None,
            no_endpoint_ttl=(ttl if empty is None else empty) or None,
            evicts=section.enable_eviction,
            faults=self._faults,
        )

    def _tell_bands(self) -> None:
        """Say that a band in the list has nothing of the template, which one may well think it has."""
        template = self._section.default_priority_band
        if template is None:
            return
        for field, attribute in (
            ("fairnessPolicyRef", "fairness_policy_ref"),
            ("orderingPolicyRef", "ordering_policy_ref"),
        ):
            said = getattr(template, attribute)
            for index, band in enumerate(self._section.priority_bands):
                if said and not getattr(band, attribute):
                    message = f"is not {said!r}: defaultPriorityBand is for priorities that are not listed"
                    self._findings.note((_HERE, "priorityBands", index, field), message)

    def _band(self, written: BandTemplate | None, here: Path) -> BandSettings | None:
        band = written or BandTemplate()
        fairness: FairnessPlugin[Any] | None = self._policy(
            FairnessPlugin, band.fairness_policy_ref, DEFAULT_FAIRNESS, *here[1:], "fairnessPolicyRef"
        )
        ordering: OrderingPlugin[Any] | None = self._policy(
            OrderingPlugin, band.ordering_policy_ref, DEFAULT_ORDERING, *here[1:], "orderingPolicyRef"
        )
        if fairness is None or ordering is None:
            return None
        for field, limit, instead in (
            ("maxBytes", band.max_bytes, BAND_BYTES),
            ("maxRequests", band.max_requests, BAND_REQUESTS),
        ):
            if limit == 0:
                self._findings.note((*here, field), f"is {instead}: 0 stands for the default, not for none")
        return BandSettings(
            _whole(band.max_bytes) or BAND_BYTES, _whole(band.max_requests) or BAND_REQUESTS, fairness, ordering
        )

    def _policy(self, role: type[Any], written: str, default: str, *place: str | int) -> Any:
        """Return the plugin of a role that a reference names: an entry of ``plugins`` by its name, or one of ours by
        its type; ``None``, and a problem, where there is none."""
        declared, name = self._declared, written or default
        here: Path = (_HERE, *place)
        plugin = declared.plugins.get(name)
        by_type = BUILTIN.get(name) if plugin is None and name not in declared.index else None
        if by_type is not None and issubclass(by_type, role):
            missing = [
                info.alias or field
                for field, info in by_type.parameter_model.model_fields.items()
                if info.is_required()
            ]
            if missing:
                message = f"{name!r} cannot do without {', '.join(missing)}, and is not in plugins"
                self._findings.problem(here, message, "list it there with its parameters")
                return None
            plugin = declared.add_default(name)
        if isinstance(plugin, role):
            return plugin
        if name in declared.refused:
            return None
        if plugin is not None:
            message = f"{name!r} is {article(plugin.role)}, not {article(role.role)}"
        elif name in declared.stand_ins:
            message = f"{name!r} is {article(ACCEPTED[declared.stand_ins[name]].role)}, not {article(role.role)}"
        elif name in BUILTIN and name not in declared.index:
            message = f"{name!r} is {article(BUILTIN[name].role)}, not {article(role.role)}"
        else:
            message = f"{name!r} is not in plugins"
        known = [known for known, other in declared.plugins.items() if isinstance(other, role)]
        known += [known for known, other in BUILTIN.items() if issubclass(other, role)]
        self._findings.problem(here, message, choose(name, known, f"add {article(role.role)} to plugins"))
        return None


def _whole(limit: float | None) -> int | None:
    """Return a limit that counts something; ``None`` for none, which 0 stands for."""
    return math.ceil(limit) if limit else None


def _tell_off(config: EndpointPickerConfig, declared: Declared, findings: Findings) -> None:
    off = f"the feature gate {GATE} is off"
    section = config.flow_control
    if section is not None and section.model_fields_set - {"saturation_detector"}:
        message = f"has no effect but for saturationDetector: requests do not queue in the picker ({off})"
        findings.note((_HERE,), message)
    for name, plugin in declared.plugins.items():
        if name in declared.index and isinstance(plugin, (*_POLICIES, IdentityPlugin)):
            findings.note(declared.path(name)[:2], f"{name} has no effect: {off}")


def _tell_unused(declared: Declared, findings: Findings, settings: FlowSettings | None) -> None:
    if settings is None:
        return
    bands = (settings.default, settings.negative, *settings.bands.values())
    used = {settings.usage_limit.name, *(band.fairness.name for band in bands), *(band.ordering.name for band in bands)}
    for name, plugin in declared.plugins.items():
        if name in declared.index and name not in used and isinstance(plugin, _POLICIES):
            findings.note(declared.path(name)[:2], f"{name} is not referred to by {_HERE} and has no effect")
