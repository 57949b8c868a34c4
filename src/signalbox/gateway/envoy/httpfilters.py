"""HTTPRoute filters in Envoy's terms: header modifiers, redirects and rewrites."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from signalbox.gateway.envoy.matching import prefix
from signalbox.gateway.envoy.model import Json
from signalbox.resources import FilterType, HeaderModifier, HTTPRouteFilter, HTTPRouteMatch, PathMatchType

_REDIRECT_CODES = {
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}


class Unsupported(Exception):
    """A filter that cannot be honoured, as ``FIELD: MESSAGE; FIX``. The Gateway API then wants an error answer."""


def header_changes(filters: Iterable[HTTPRouteFilter]) -> Json:
    """The header fields of an Envoy ``Route`` or ``ClusterWeight``; a later filter overrules an earlier one."""
    result: Json = {}
    for item in filters:
        if item.request_header_modifier is not None:
            _modify("request", item.request_header_modifier, result)
        if item.response_header_modifier is not None:
            _modify("response", item.response_header_modifier, result)
    return result


def refuse_unsupported(filters: Iterable[HTTPRouteFilter], supported: Iterable[FilterType]) -> None:
    """Raise Unsupported for the first filter whose type is not among ``supported``."""
    for index, item in enumerate(filters):
        if item.type not in supported:
            names = ", ".join(supported)
            raise Unsupported(f"filters[{index}].type: {item.type} is not supported here; use {names}")


def redirect(spec: Mapping[str, Any], match: HTTPRouteMatch) -> Json:
    """A RequestRedirect as an Envoy ``RedirectAction``. Raises Unsupported if it is none."""
    code = spec.get("statusCode", 302)
    if code not in _REDIRECT_CODES:
        known = ", ".join(str(known) for known in _REDIRECT_CODES)
        raise Unsupported(f"filters.requestRedirect.statusCode: {code} is not a redirect; use one of {known}")
    result: Json = {"response_code": _REDIRECT_CODES[code]}
    for ours, theirs in (("scheme", "scheme_redirect"), ("hostname", "host_redirect"), ("port", "port_redirect")):
        if spec.get(ours) is not None:
            result[theirs] = spec[ours]
    match _path_change(spec, match):
        case None:
            pass
        case {"full": full}:
            result["path_redirect"] = full
        case {"regex": regex}:
            result["regex_rewrite"] = regex
    return result


def rewrite(spec: Mapping[str, Any], match: HTTPRouteMatch) -> Json:
    """A URLRewrite as fields of an Envoy ``RouteAction``."""
    result: Json = {}
    if spec.get("hostname") is not None:
        result["host_rewrite_literal"] = spec["hostname"]
    match _path_change(spec, match):
        case None:
            pass
        case {"full": full}:
            result["regex_rewrite"] = _substitution("^.*$", full)
        case {"regex": regex}:
            result["regex_rewrite"] = regex
    return result


def _path_change(spec: Mapping[str, Any], match: HTTPRouteMatch) -> Json | None:
    path = spec.get("path")
    if path is None:
        return None
    match path:
        case {"type": "ReplaceFullPath", "replaceFullPath": str(full)}:
            return {"full": full}
        case {"type": "ReplacePrefixMatch", "replacePrefixMatch": str(new)}:
            if match.path.type is not PathMatchType.PATH_PREFIX:
                raise Unsupported("filters.path: ReplacePrefixMatch needs a PathPrefix match; change the match's type")
            return {"regex": _prefix_change(prefix(match), new.rstrip("/"))}
    raise Unsupported(f"filters.path: {path!r} is not a path modifier; write type and the field that belongs to it")


def _prefix_change(old: str, new: str) -> Json:
    """Both without a slash at their end, so that the one before the rest of the path is kept, made up or swallowed."""
    if not new:
        return _substitution(f"^{re.escape(old)}/*", "/")
    if not old:
        return _substitution("^/", f"{new}/")
    return _substitution(f"^{re.escape(old)}", new)


def _substitution(pattern: str, replacement: str) -> Json:
    return {"pattern": {"regex": pattern}, "substitution": replacement.replace("\\", "\\\\")}


def _modify(side: str, modifier: HeaderModifier, result: Json) -> None:
    added = result.setdefault(f"{side}_headers_to_add", [])
    removed = result.setdefault(f"{side}_headers_to_remove", [])
    replaced = {name.lower() for name in (*modifier.remove, *(header.name for header in modifier.set))}
    # Envoy removes first, then sets, then appends, whatever the order they are listed in: what is overruled must go.
    added[:] = [entry for entry in added if entry["header"]["key"].lower() not in replaced]
    for action, headers in (("OVERWRITE_IF_EXISTS_OR_ADD", modifier.set), ("APPEND_IF_EXISTS_OR_ADD", modifier.add)):
        for header in headers:
            _refuse_host(header.name)
            # A percent sign begins a variable in Envoy; twice, it is one.
            entry = {"key": header.name, "value": header.value.replace("%", "%%")}
            added.append({"header": entry, "append_action": action})
    for name in modifier.remove:
        _refuse_host(name)
        removed.append(name)


def _refuse_host(name: str) -> None:
    if name.lower() == "host" or name.startswith(":"):
        raise Unsupported(f"filters: header {name!r} cannot be modified; use URLRewrite with a hostname")
