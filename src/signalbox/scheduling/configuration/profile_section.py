"""The section ``schedulingProfiles``, and the handler that runs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from signalbox.resources.suggestions import choose
from signalbox.scheduling.checked import CheckedFilter, CheckedHandler, CheckedPicker, CheckedScorer
from signalbox.scheduling.configuration.accepted import ACCEPTED
from signalbox.scheduling.configuration.findings import Findings, Path, article
from signalbox.scheduling.configuration.models import DEFAULT_SCORERS, ProfilePlugin, SchedulingProfile
from signalbox.scheduling.configuration.plugin_section import Declared
from signalbox.scheduling.configuration.salvage import UNREADABLE
from signalbox.scheduling.faults import Faults
from signalbox.scheduling.filters import Reachable
from signalbox.scheduling.framework import Filter, Scorer
from signalbox.scheduling.plugin import (
    AdmitterPlugin,
    DetectorPlugin,
    FilterPlugin,
    HandlerPlugin,
    ParameterFault,
    PickerPlugin,
    Plugin,
    ProducerPlugin,
    ScorerPlugin,
    ScreenerPlugin,
)
from signalbox.scheduling.profile import FALLBACKS, Profile

DEFAULT_PROFILE = "default"
DEFAULT_HANDLER = "single-profile-handler"
DEFAULT_PICKER = "max-score-picker"


def complete(written: tuple[SchedulingProfile, ...], declared: Declared) -> tuple[SchedulingProfile, ...]:
    """Return the profiles, or the default one where the file has none: every filter, scorer and picker that is listed,
    in order; where no scorer is listed, the default ones."""
    if written:
        return written
    plugins = [
        ProfilePlugin(plugin_ref=name)
        for name, plugin in declared.plugins.items()
        if isinstance(plugin, FilterPlugin | ScorerPlugin | PickerPlugin)
    ]
    if not any(isinstance(declared.plugins[entry.plugin_ref], ScorerPlugin) for entry in plugins):
        for type_name, weight in DEFAULT_SCORERS.items():
            if type_name not in declared.plugins:
                declared.add_default(type_name)
            plugins.append(ProfilePlugin(plugin_ref=type_name, weight=weight))
    return (SchedulingProfile(name=DEFAULT_PROFILE, plugins=tuple(plugins)),)


def build_profiles(
    written: tuple[SchedulingProfile, ...], declared: Declared, findings: Findings, faults: Faults
) -> dict[str, Profile]:
    """Build every profile, in the order of the file."""
    profiles: dict[str, Profile] = {}
    for index, profile in enumerate(complete(written, declared)):
        profiles[profile.name] = _Builder(declared, findings, ("schedulingProfiles", index), faults).build(profile)
    if written:
        _tell_unused(written, declared, findings)
    return profiles


def choose_handler(
    profiles: Mapping[str, Profile], declared: Declared, findings: Findings
) -> HandlerPlugin[Any] | None:
    """Return the one handler; ``None``, and a problem, where there is none or more than one."""
    handlers = {name: plugin for name, plugin in declared.plugins.items() if isinstance(plugin, HandlerPlugin)}
    if len(handlers) > 1:
        second = list(handlers)[1]
        message = f"is a second profile handler beside {next(iter(handlers))!r}"
        findings.problem(declared.path(second)[:2], f"{second!r} {message}", "keep one of them")
        return None
    if not handlers:
        if len(profiles) > 1:
            message = f"there are {len(profiles)} profiles and no profile handler"
            fix = "add header-profile-handler or disagg-profile-handler to plugins, or keep one profile"
            if not declared.refused:
                findings.problem(("schedulingProfiles",), message, fix)
            return None
        handler = declared.add_default(DEFAULT_HANDLER)
        assert isinstance(handler, HandlerPlugin)
        return handler
    (name, handler), *_ = handlers.items()
    if UNREADABLE in profiles and findings.problems:
        return handler  # its profiles are wrong already, and nothing is run
    try:
        handler.check(profiles)
    except ParameterFault as error:
        findings.fault(declared.path(name), error)
    except Exception as error:
        declared.blame(handler, "check", error, findings)
    return CheckedHandler(handler) if declared.is_foreign(handler) else handler


class _Builder:
    """Builds one profile."""

    def __init__(self, declared: Declared, findings: Findings, here: Path, faults: Faults) -> None:
        self._declared = declared
        self._findings = findings
        self._here = here
        self._faults = faults
        self._filters: list[tuple[Filter, bool]] = []
        self._scorers: list[tuple[Scorer, float]] = []
        self._picker: PickerPlugin[Any] | None = None

    def build(self, profile: SchedulingProfile) -> Profile:
        seen: set[str] = set()
        for index, entry in enumerate(profile.plugins):
            place: Path = (*self._here, "plugins", index)
            plugin = self._find(entry.plugin_ref, place)
            if plugin is None:
                continue
            if plugin.name in seen:
                message = f"{plugin.name!r} is already in this profile"
                self._findings.problem(
                    (*place, "pluginRef"), message, "remove one, or list the type under another name"
                )
                continue
            seen.add(plugin.name)
            self._add(plugin, entry, place)
        if not any(isinstance(plugin, Reachable) for plugin, _ in self._filters):
            reachable = self._declared.plugins.get(Reachable.type) or self._declared.add_default(Reachable.type)
            # Among those a binding filter lets through: where all decode servers fail, prefill servers are no way out.
            leading = next((n for n, (_, preference) in enumerate(self._filters) if preference), len(self._filters))
            self._filters.insert(leading, (cast(Filter, reachable), True))
        picker = self._picker or self._default_picker()
        binding = max((index + 1 for index, (_, preference) in enumerate(self._filters) if not preference), default=0)
        return Profile(
            filters=tuple([plugin for plugin, _ in self._filters]),
            scorers=tuple(self._scorers),
            picker=CheckedPicker(picker) if self._declared.is_foreign(picker) else picker,
            endpoints=self._endpoints(picker),
            name=profile.name,
            counted="max_num_of_endpoints" in picker.parameters.model_fields_set,
            binding=binding,
            preferences=frozenset([index for index, (_, preference) in enumerate(self._filters) if preference]),
            faults=self._faults,
        )

    def _find(self, name: str, place: Path) -> Plugin[Any] | None:
        plugin = self._declared.plugins.get(name)
        told = name in self._declared.refused or (name == UNREADABLE and self._findings.problems)
        if plugin is not None or told:
            return plugin
        stand_in = self._declared.stand_ins.get(name)
        if stand_in is not None:
            message = f"{name!r} is {article(ACCEPTED[stand_in].role)}, and profiles hold filters, scorers and a picker"
            self._findings.problem((*place, "pluginRef"), message, "remove it from the profile")
        else:
            fix = choose(name, self._declared.plugins, "add it to plugins")
            self._findings.problem((*place, "pluginRef"), f"{name!r} is not in plugins", fix)
        return None

    def _add(self, plugin: Plugin[Any], entry: ProfilePlugin, place: Path) -> None:
        foreign = self._declared.is_foreign(plugin)
        if entry.weight is not None and not isinstance(plugin, ScorerPlugin):
            self._findings.note((*place, "weight"), f"has no effect: {plugin.name!r} is {article(plugin.role)}")
        if isinstance(plugin, ScorerPlugin):
            weight = 1.0 if entry.weight is None else entry.weight
            self._scorers.append((CheckedScorer(plugin) if foreign else plugin, weight))
            if plugin.filters:
                keeping = cast(Filter, plugin)
                self._filters.append((CheckedFilter(keeping) if foreign else keeping, False))
        elif isinstance(plugin, FilterPlugin):
            self._filters.append((CheckedFilter(plugin) if foreign else plugin, plugin.preference))
        elif isinstance(plugin, DetectorPlugin):
            self._filters.append((CheckedFilter(plugin) if foreign else plugin, True))
        elif isinstance(plugin, PickerPlugin):
            if self._picker is not None:
                message = f"{plugin.name!r} is a second picker beside {self._picker.name!r}"
                self._findings.problem((*place, "pluginRef"), message, "keep one picker in a profile")
            self._picker = plugin
        elif isinstance(plugin, ProducerPlugin | AdmitterPlugin | ScreenerPlugin):
            self._findings.note(place, f"{plugin.name} need not stand in a profile: it is asked wherever it is listed")
        else:
            message = f"{plugin.name!r} is {article(plugin.role)}, and profiles hold filters, scorers and a picker"
            self._findings.problem((*place, "pluginRef"), message, "remove it from the profile")

    def _endpoints(self, picker: PickerPlugin[Any]) -> int:
        try:
            endpoints = picker.endpoints
            if not isinstance(endpoints, int) or endpoints < 1:
                raise ValueError(f"{endpoints!r} is not a number of endpoints to name: 1 or more")
        except Exception as error:
            self._declared.blame(picker, "endpoints", error, self._findings)
            return FALLBACKS
        return endpoints

    def _default_picker(self) -> PickerPlugin[Any]:
        for plugin in self._declared.plugins.values():
            if isinstance(plugin, PickerPlugin):
                return plugin
        picker = self._declared.add_default(DEFAULT_PICKER)
        assert isinstance(picker, PickerPlugin)
        return picker


def _tell_unused(written: tuple[SchedulingProfile, ...], declared: Declared, findings: Findings) -> None:
    used = {entry.plugin_ref for profile in written for entry in profile.plugins}
    for name, plugin in declared.plugins.items():
        if name in declared.index and name not in used and isinstance(plugin, FilterPlugin | ScorerPlugin):
            findings.note(declared.path(name)[:2], f"{name} is in no profile and has no effect")
