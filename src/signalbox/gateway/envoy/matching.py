"""HTTPRoute matches: their form in Envoy, and which of two goes first."""

from __future__ import annotations

import re

from signalbox.gateway.envoy.model import Json
from signalbox.resources import HTTPRouteMatch, PathMatchType, ValueMatchType

_PATH_RANK = {PathMatchType.EXACT: 0, PathMatchType.REGULAR_EXPRESSION: 1, PathMatchType.PATH_PREFIX: 2}


def rank(match: HTTPRouteMatch) -> tuple[int, int, bool, int, int]:
    """Sort key: the smaller goes first.

    The Gateway API's order: exact path, longest prefix, method, most headers, most query parameters. It leaves regular
    expressions open; here they stand between exact paths and prefixes, the longer expression first.
    """
    length = len(prefix(match)) if match.path.type is PathMatchType.PATH_PREFIX else len(match.path.value)
    return (
        _PATH_RANK[match.path.type],
        -length,
        match.method is None,
        -len(match.headers),
        -len(match.query_params),
    )


def prefix(match: HTTPRouteMatch) -> str:
    """The path prefix with no slash at its end; ``""`` takes every path."""
    return match.path.value.rstrip("/")


def envoy_match(match: HTTPRouteMatch) -> Json:
    """The match as an Envoy ``RouteMatch``."""
    result = _path(match)
    headers = [{"name": header.name, "string_match": _string(header.type, header.value)} for header in match.headers]
    if match.method is not None:
        headers.insert(0, {"name": ":method", "string_match": {"exact": match.method}})
    if headers:
        result["headers"] = headers
    if match.query_params:
        result["query_parameters"] = [
            {"name": param.name, "string_match": _string(param.type, param.value)} for param in match.query_params
        ]
    return result


def broken_expression(match: HTTPRouteMatch) -> str | None:
    """What is wrong with the match's regular expressions, if it shows without Envoy's engine (RE2)."""
    expressions = [match.path.value] if match.path.type is PathMatchType.REGULAR_EXPRESSION else []
    conditions = [(item.type, item.value) for item in match.headers]
    conditions += [(item.type, item.value) for item in match.query_params]
    expressions += [value for kind, value in conditions if kind is ValueMatchType.REGULAR_EXPRESSION]
    for expression in expressions:
        # RE2 knows neither look-around nor back-references, and one refused expression loses a whole update.
        if re.search(r"\(\?(<?[=!]|>|\()|(?<!\\)(\\\\)*\\[1-9]", expression):
            return f"{expression!r} uses look-around or a back-reference, which Envoy's expressions do not have"
        try:
            re.compile(expression)
        except re.error as error:
            return f"{expression!r} is not a regular expression: {error}"
    return None


def _path(match: HTTPRouteMatch) -> Json:
    match match.path.type:
        case PathMatchType.EXACT:
            return {"path": match.path.value}
        case PathMatchType.REGULAR_EXPRESSION:
            return {"safe_regex": {"regex": match.path.value}}
        case PathMatchType.PATH_PREFIX:
            whole = prefix(match)
            return {"path_separated_prefix": whole} if whole else {"prefix": "/"}


def _string(kind: ValueMatchType, value: str) -> Json:
    if kind is ValueMatchType.REGULAR_EXPRESSION:
        return {"safe_regex": {"regex": value}}
    return {"exact": value}
