"""A JSON Schema of EndpointPickerConfig for editors, with the parameters of every plugin type."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from signalbox.scheduling.configuration.accepted import ACCEPTED
from signalbox.scheduling.configuration.models import EndpointPickerConfig
from signalbox.scheduling.registry import load_registry

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def config_schema() -> dict[str, Any]:
    """Return the schema: ``parameters`` of an entry of ``plugins`` are checked by its ``type``."""
    schema = EndpointPickerConfig.model_json_schema(by_alias=True)
    definitions: dict[str, Any] = schema.setdefault("$defs", {})
    models: dict[str, type[BaseModel]] = {
        name: plugin.parameter_model for name, plugin in load_registry().types.items()
    } | {name: accepted.parameters for name, accepted in ACCEPTED.items()}
    rules = []
    for name, model in models.items():
        definitions[f"parameters of {name}"] = _parameters(model, definitions)
        condition = {"properties": {"type": {"const": name}}, "required": ["type"]}
        rules.append(
            {"if": condition, "then": {"properties": {"parameters": {"$ref": _reference(f"parameters of {name}")}}}}
        )
    entry = definitions["PluginSpec"]
    entry["allOf"] = rules
    entry["properties"]["type"] = {"title": "Type", "type": "string", "enum": list(models)}
    return {"$schema": DIALECT, **schema}


def _parameters(model: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    written = model.model_json_schema(by_alias=True)
    definitions.update(written.pop("$defs", {}))
    return written


def _reference(name: str) -> str:
    return "#/$defs/" + name.replace(" ", "%20")
