"""A configuration into a policy: everything is checked, all problems are told at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from signalbox.resources import InvalidResource, Lines, Origin
from signalbox.resources.suggestions import choose
from signalbox.scheduling.checked import CheckedDetector
from signalbox.scheduling.configuration.accepted import ACCEPTED, PrefixIndexParameters
from signalbox.scheduling.configuration.document import read_document
from signalbox.scheduling.configuration.findings import Findings, InvalidPolicy, Path, article
from signalbox.scheduling.configuration.flow_section import build_flow
from signalbox.scheduling.configuration.models import API_VERSIONS, KIND, EndpointPickerConfig, Reference
from signalbox.scheduling.configuration.plugin_section import Declared, connect, declare
from signalbox.scheduling.configuration.precise_section import build_precise
from signalbox.scheduling.configuration.profile_section import build_profiles, choose_handler
from signalbox.scheduling.configuration.salvage import salvage
from signalbox.scheduling.configuration.unsupported import GATES
from signalbox.scheduling.faults import Faults
from signalbox.scheduling.plugin import DetectorPlugin, ProducerPlugin
from signalbox.scheduling.policy import Policy, Surroundings
from signalbox.scheduling.registry import load_registry

DEFAULT_DETECTOR = "utilization-detector"


def load_policy(text: str, *, name: str) -> Policy:
    """Read an EndpointPickerConfig; ``name`` is the file's, for messages. An empty text is the default policy.

    Raises:
        InvalidPolicy: with everything that is wrong, each problem with its line and its fix.
    """
    try:
        content, lines = read_document(text, name)
    except InvalidResource as invalid:
        raise InvalidPolicy(invalid.problems) from None
    return load_document(content, Origin(name), lines)


def load_document(content: Mapping[str, Any], origin: Origin, lines: Lines | None = None) -> Policy:
    """The same for a document that has been read already; ``lines`` says where its parts stand."""
    findings = Findings(origin, lines)
    written = content or {"apiVersion": API_VERSIONS[0], "kind": KIND}
    try:
        config = EndpointPickerConfig.model_validate(dict(written), by_alias=True, by_name=False)
    except ValidationError as error:
        findings.invalid((), error, EndpointPickerConfig)
        rest = salvage(written, error, lambda deeper: findings.invalid((), deeper, EndpointPickerConfig))
        if rest is not None:
            _build(rest, findings)  # which raises what it finds with what was found already
        findings.raise_any()
        raise
    return _build(config, findings)


def _build(config: EndpointPickerConfig, findings: Findings) -> Policy:
    faults = Faults()
    _check_gates(config.feature_gates, findings)
    declared = declare(config.plugins, load_registry(), findings)
    connect(declared, findings)
    profiles = build_profiles(config.scheduling_profiles, declared, findings, faults)
    handler = choose_handler(profiles, declared, findings)
    detector = _detector(config, declared, findings)
    parsers = _parsers(config, declared, findings)
    _check_data_layer(config, declared, findings)
    flow = build_flow(config, declared, findings, faults)
    precise = build_precise(declared, findings)
    findings.raise_any()
    assert handler is not None
    assert detector is not None
    plugins = tuple(declared.plugins.values())
    looked_up = any(plugin.reads_prefix for plugin in plugins)
    prefix = (declared.prefix or PrefixIndexParameters()) if looked_up else None
    guarded = any(declared.is_foreign(plugin) for plugin in plugins)
    surroundings = Surroundings(tuple(findings.notes), prefix, parsers, guarded, flow, precise if looked_up else None)
    return Policy(handler, profiles, detector, plugins, surroundings, faults)


def _check_gates(gates: tuple[str, ...], findings: Findings) -> None:
    for index, gate in enumerate(gates):
        name, equals, value = gate.partition("=")
        here: Path = ("featureGates", index)
        if name not in GATES:
            fix = choose(name, GATES, f"remove it; the gates are {', '.join(GATES)}")
            findings.problem(here, f"{name!r} is not a known feature gate", fix)
        elif equals and value.lower() not in ("true", "false"):
            findings.problem(here, f"{value!r} is neither true nor false", f"write {name}=true or {name}=false")
        elif not GATES[name]:
            findings.note(here, f"{name} has no effect")


def _detector(config: EndpointPickerConfig, declared: Declared, findings: Findings) -> DetectorPlugin[Any] | None:
    here: Path = ("saturationDetector",)
    reference = config.saturation_detector
    if config.flow_control is not None and config.flow_control.saturation_detector is not None:
        if reference is not None and reference != config.flow_control.saturation_detector:
            findings.problem(here, "differs from flowControl.saturationDetector", "keep one of the two")
        here, reference = ("flowControl", "saturationDetector"), config.flow_control.saturation_detector
    name = DEFAULT_DETECTOR if reference is None else reference.plugin_ref
    plugin = declared.plugins.get(name)
    if plugin is None and name == DEFAULT_DETECTOR and name not in declared.refused:
        plugin = declared.add_default(DEFAULT_DETECTOR)
    if isinstance(plugin, DetectorPlugin):
        return CheckedDetector(plugin) if declared.is_foreign(plugin) else plugin
    if name not in declared.refused:
        known = [known for known, plugin in declared.plugins.items() if isinstance(plugin, DetectorPlugin)]
        found = "is not in plugins" if plugin is None else f"is {article(plugin.role)}, not a detector"
        findings.problem((*here, "pluginRef"), f"{name!r} {found}", choose(name, known, "add a detector to plugins"))
    return None


def _parsers(config: EndpointPickerConfig, declared: Declared, findings: Findings) -> tuple[str, ...]:
    references: list[tuple[Path, Reference]] = []
    if config.request_handler is not None:
        for index, reference in enumerate(config.request_handler.parsers):
            references.append((("requestHandler", "parsers", index), reference))
    if config.parser is not None:
        references.append((("parser",), config.parser))
    types = [_resolve(reference, "parser", path, declared, findings) for path, reference in references]
    return tuple([found for found in types if found])


def _check_data_layer(config: EndpointPickerConfig, declared: Declared, findings: Findings) -> None:
    layer = config.data_layer
    if layer is None:
        return
    for index, source in enumerate(layer.sources):
        here: Path = ("dataLayer", "sources", index)
        _resolve(source, "data source", here, declared, findings)
        for number, extractor in enumerate(source.extractors):
            _resolve(extractor, "extractor", (*here, "extractors", number), declared, findings)
    if not layer.inject_defaults:
        findings.note(("dataLayer", "injectDefaults"), "has no effect: metrics are polled whatever it says")
    for field_name, value, reason in (
        (
            "discovery",
            layer.discovery,
            "endpoints come from manifests or the Kubernetes API, as the picker's flags say",
        ),
        ("peerDiscovery", layer.peer_discovery, "pickers do not exchange state"),
        ("crossReplicaSyncerPluginRef", layer.cross_replica_syncer_plugin_ref, "pickers do not exchange state"),
    ):
        if value:
            findings.problem(("dataLayer", field_name), f"is not supported: {reason}", "remove it")


def _resolve(reference: Reference, role: str, here: Path, declared: Declared, findings: Findings) -> str | None:
    """Return the type of the stand-in that a reference names; a type may be named without being listed."""
    name = reference.plugin_ref
    plugin = declared.plugins.get(name)
    if role == "extractor" and isinstance(plugin, ProducerPlugin):
        return plugin.type
    found = declared.stand_ins.get(name) or (name if name in ACCEPTED and name not in declared.index else None)
    if found is not None and ACCEPTED[found].role == role:
        return found
    if name in declared.refused:
        return None
    names = [known for known, type in declared.stand_ins.items() if ACCEPTED[type].role == role]
    is_something = found is not None or name in declared.plugins
    message = f"{name!r} is not a {role}" if is_something else f"{name!r} is not in plugins"
    findings.problem((*here, "pluginRef"), message, choose(name, names, f"name a {role} of plugins"))
    return None
