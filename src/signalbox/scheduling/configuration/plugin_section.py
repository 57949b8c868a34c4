"""The section ``plugins``: entries into plugins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from signalbox.resources.suggestions import choose, nearest
from signalbox.scheduling.configuration.accepted import ACCEPTED, PrefixIndexParameters, TokenProducerParameters
from signalbox.scheduling.configuration.findings import Findings, Path
from signalbox.scheduling.configuration.models import PluginSpec
from signalbox.scheduling.configuration.salvage import UNREADABLE
from signalbox.scheduling.configuration.unsupported import UNSUPPORTED
from signalbox.scheduling.plugin import ParameterFault, Parameters, Plugin
from signalbox.scheduling.registry import Registry

PREFIX_PRODUCER = "approx-prefix-cache-producer"
PRECISE_PRODUCER = "precise-prefix-cache-producer"
LOAD_PRODUCER = "inflight-load-producer"
REPAIR = "repair or remove the package that brings it"
_ALIKE = 0.8  # many types share an ending like "-scorer", which makes unlike names look alike
_PRODUCERS = {
    "prefix_match_info_producer_name": ("prefixMatchInfoProducerName", PREFIX_PRODUCER),
    "in_flight_load_producer_name": ("inFlightLoadProducerName", LOAD_PRODUCER),
}


@dataclass
class Declared:
    """What the section declares, by name."""

    registry: Registry
    plugins: dict[str, Plugin[Any]] = field(default_factory=dict)
    stand_ins: dict[str, str] = field(default_factory=dict)
    """The types of entries that are no plugins here, see `ACCEPTED`."""
    tokens: TokenProducerParameters | None = None
    """Parameters of the first token-producer."""
    prefix: PrefixIndexParameters | None = None
    """Parameters of the first approx-prefix-cache-producer."""
    refused: set[str] = field(default_factory=set)
    """Names of entries with problems: what refers to them is not a problem of its own."""
    index: dict[str, int] = field(default_factory=dict)

    def add_default(self, type: str) -> Plugin[Any]:
        """Add a plugin that the file does not list, with the parameters it has by default."""
        plugin = self.registry.types[type]()
        self.plugins[plugin.name] = plugin
        return plugin

    def is_foreign(self, plugin: Plugin[Any]) -> bool:
        """Return whether another package brought the plugin."""
        return plugin.type in self.registry.foreign

    def blame(self, plugin: Plugin[Any], method: str, error: Exception, findings: Findings) -> None:
        """Tell that a method of another package's plugin raised what none may; an error of our own goes on."""
        if not self.is_foreign(plugin):
            raise error
        message = f"{plugin.name!r} failed in {method}: {type(error).__name__}: {error}"
        findings.problem(self.path(plugin.name)[:2], message, REPAIR)

    def path(self, name: str) -> Path:
        """Return where the parameters of a listed plugin stand."""
        return ("plugins", self.index[name], "parameters") if name in self.index else ("plugins",)


def declare(specs: tuple[PluginSpec, ...], registry: Registry, findings: Findings) -> Declared:
    """Create every plugin of the section."""
    declared = Declared(registry)
    for index, spec in enumerate(specs):
        name = spec.name or spec.type
        if name in declared.index:
            field_name = "name" if spec.name else "type"
            message = f"the name {name!r} is already used by plugins[{declared.index[name]}]"
            findings.problem(("plugins", index, field_name), message, "give one of the two another name")
            continue
        declared.index[name] = index
        if not _declare(declared, spec, name, index, findings):
            declared.refused.add(name)
    for name, plugin in declared.plugins.items():
        _check_producers(declared, name, plugin, findings)
    _add_needed(declared, findings)
    return declared


def _add_needed(declared: Declared, findings: Findings) -> None:
    """Add what plugins ask and the file does not list."""
    asking = list(declared.plugins.values())
    for plugin in asking:
        try:
            needed = tuple(plugin.needs())
        except Exception as error:
            declared.blame(plugin, "needs", error, findings)
            continue
        for type_name in needed:
            taken = type_name in declared.index or type_name in declared.plugins
            if taken or any(other.type == type_name for other in declared.plugins.values()):
                continue
            if type_name in declared.registry.types:
                asking.append(declared.add_default(type_name))
            else:
                declared.blame(plugin, "needs", LookupError(f"{type_name!r} is not a known plugin type"), findings)


def connect(declared: Declared, findings: Findings) -> None:
    """Let every plugin look up those it names."""
    for name, plugin in list(declared.plugins.items()):
        try:
            plugin.connect(declared.plugins)
        except ParameterFault as error:
            named = set(_texts(plugin.parameters))
            if not named & declared.refused:
                findings.fault(declared.path(name), error)
        except Exception as error:
            declared.blame(plugin, "connect", error, findings)


def _declare(declared: Declared, spec: PluginSpec, name: str, index: int, findings: Findings) -> bool:
    if spec.type == UNREADABLE and findings.problems:
        return False
    here: Path = ("plugins", index)
    registry = declared.registry
    plugin_type = registry.types.get(spec.type)
    if plugin_type is not None:
        return _create(declared, plugin_type, spec, name, here, findings)
    if spec.type in ACCEPTED:
        return _accept(declared, spec, name, here, findings)
    if spec.type in UNSUPPORTED:
        message = f"{spec.type!r} is not supported: {UNSUPPORTED[spec.type]}"
        findings.problem((*here, "type"), message, "remove it and what refers to it")
    elif spec.type in registry.broken:
        findings.problem((*here, "type"), registry.broken[spec.type], REPAIR)
    else:
        known = [*registry.types, *ACCEPTED]
        guess = nearest(spec.type, known, _ALIKE)
        fix = f"did you mean '{guess}'?" if guess else "use a type of the plugin reference, or install its package"
        findings.problem((*here, "type"), f"{spec.type!r} is not a known plugin type", fix)
    return False


def _create(
    declared: Declared, plugin_type: type[Plugin[Any]], spec: PluginSpec, name: str, here: Path, findings: Findings
) -> bool:
    model = plugin_type.parameter_model
    try:
        parameters = model.model_validate(spec.parameters, by_alias=True, by_name=False)
        plugin = plugin_type(parameters, name)
        if getattr(plugin, "name", None) != name or not isinstance(getattr(plugin, "parameters", None), Parameters):
            raise TypeError("its __init__ must hand parameters and name on to Plugin.__init__")
        declared.plugins[name] = plugin
        _tell_ineffective(parameters, name, (*here, "parameters"), findings)
    except ValidationError as error:
        findings.invalid((*here, "parameters"), error, model)
        return False
    except ParameterFault as error:
        findings.fault((*here, "parameters"), error)
        return False
    except Exception as error:
        if spec.type not in declared.registry.foreign:
            raise
        findings.problem(here, f"{spec.type!r} cannot be created: {type(error).__name__}: {error}", REPAIR)
        return False
    return True


def _tell_ineffective(parameters: BaseModel, name: str, here: Path, findings: Findings) -> None:
    if not isinstance(parameters, Parameters):
        return
    for field_name in type(parameters).model_fields:
        if field_name not in parameters.model_fields_set:
            continue
        place = (*here, type(parameters).model_fields[field_name].alias or field_name)
        why = parameters.ineffective.get(field_name)
        value = getattr(parameters, field_name)
        if why is not None:
            findings.note(place, f"{name}: has no effect: {why}")
        elif isinstance(value, Parameters):
            _tell_ineffective(value, name, place, findings)


def _accept(declared: Declared, spec: PluginSpec, name: str, here: Path, findings: Findings) -> bool:
    accepted = ACCEPTED[spec.type]
    try:
        parameters = accepted.parameters.model_validate(spec.parameters, by_alias=True, by_name=False)
    except ValidationError as error:
        findings.invalid((*here, "parameters"), error, accepted.parameters)
        return False
    declared.stand_ins[name] = spec.type
    if accepted.note:
        findings.note(here, f"{name}: {accepted.note}")
    if accepted.parameter_note and spec.parameters:
        findings.note(here, f"{name}: {accepted.parameter_note}")
    if isinstance(parameters, TokenProducerParameters):
        if declared.tokens is None:
            declared.tokens = parameters
        else:
            findings.note(here, f"{name}: has no effect: the first token-producer is asked")
    if isinstance(parameters, PrefixIndexParameters):
        if declared.prefix is None:
            declared.prefix = parameters
        else:
            message = "has no effect: there is one prefix index, for all memory an engine reports, and it has the"
            findings.note(here, f"{name}: {message} parameters of the first producer")
    return True


def _check_producers(declared: Declared, name: str, plugin: Plugin[Any], findings: Findings) -> None:
    for attribute, (field_name, wanted) in _PRODUCERS.items():
        producer = getattr(plugin.parameters, attribute, "")
        if not producer or producer == wanted or declared.stand_ins.get(producer) == wanted:
            continue
        precise = declared.plugins.get(producer)
        if wanted == PREFIX_PRODUCER and precise is not None and precise.type == PRECISE_PRODUCER:
            continue
        if producer in declared.refused:
            continue
        names = [known for known, type in declared.stand_ins.items() if type == wanted]
        fix = choose(producer, names, f"add a plugin of type {wanted} with this name, or remove the field")
        findings.problem((*declared.path(name), field_name), f"{producer!r} is not a plugin of type {wanted}", fix)


def _texts(model: BaseModel) -> list[str]:
    """Return all texts in a model: the names it may refer to."""
    found: list[str] = []
    for value in (getattr(model, name) for name in type(model).model_fields):
        if isinstance(value, BaseModel):
            found += _texts(value)
        elif isinstance(value, str):
            found.append(value)
    return found
