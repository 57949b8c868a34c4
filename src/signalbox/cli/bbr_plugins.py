"""Plugins that a manifest names for body-based routing: the reference's two default ones, which are built in."""

from __future__ import annotations

import json
from collections.abc import Sequence

_BUILT_IN = {
    "body-field-to-header": {"fieldName": "model", "headerName": "X-Gateway-Model-Name"},
    "base-model-to-header": {},
}
"""Their parameters, of which only these values are done here; a header's name is so in any case of its letters."""


def plugin_notes(plugins: Sequence[str]) -> list[str]:
    """Return what to say of ``--plugin`` values, each ``TYPE:NAME`` or ``TYPE:NAME:JSON``: both are always done.

    Raises:
        ValueError: a plugin or a parameter asks for what is not done here.
    """
    for written in plugins:
        kind, _, rest = written.partition(":")
        name, _, text = rest.partition(":")
        if kind not in _BUILT_IN:
            raise ValueError(f"--plugin {written}: {kind!r} is not done here; the plugins are {', '.join(_BUILT_IN)}")
        if not name:
            raise ValueError(f"--plugin {written}: write TYPE:NAME or TYPE:NAME:JSON")
        _check(written, _BUILT_IN[kind], text)
    return [f"--plugin {written}: this is built in" for written in plugins]


def _check(written: str, expected: dict[str, str], text: str) -> None:
    try:
        parameters = json.loads(text or "{}")
    except ValueError as error:
        raise ValueError(f"--plugin {written}: the parameters are no JSON: {error}") from None
    if not isinstance(parameters, dict):
        raise ValueError(f"--plugin {written}: the parameters are no JSON object")
    for key, value in parameters.items():
        if key not in expected:
            raise ValueError(f"--plugin {written}: {key} is no parameter of this plugin; remove it")
        if str(value).lower() != expected[key].lower():
            raise ValueError(f"--plugin {written}: {key} can only be {expected[key]} here")
