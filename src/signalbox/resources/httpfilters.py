"""The filters of an HTTPRoute: what is done to a request or an answer on its way."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, model_validator

from signalbox.resources.limits import entries, text, unique_by
from signalbox.resources.strict import Opaque, Strict, fault

HeaderName = Annotated[str, text(1, 256, r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+", "an HTTP header name")]


class FilterType(StrEnum):
    """The filters the Gateway API knows."""

    REQUEST_HEADER_MODIFIER = "RequestHeaderModifier"
    RESPONSE_HEADER_MODIFIER = "ResponseHeaderModifier"
    REQUEST_MIRROR = "RequestMirror"
    REQUEST_REDIRECT = "RequestRedirect"
    URL_REWRITE = "URLRewrite"
    EXTENSION_REF = "ExtensionRef"
    CORS = "CORS"
    EXTERNAL_AUTH = "ExternalAuth"


FIELD_OF_FILTER = {
    FilterType.REQUEST_HEADER_MODIFIER: "requestHeaderModifier",
    FilterType.RESPONSE_HEADER_MODIFIER: "responseHeaderModifier",
    FilterType.REQUEST_MIRROR: "requestMirror",
    FilterType.REQUEST_REDIRECT: "requestRedirect",
    FilterType.URL_REWRITE: "urlRewrite",
    FilterType.EXTENSION_REF: "extensionRef",
    FilterType.CORS: "cors",
    FilterType.EXTERNAL_AUTH: "externalAuth",
}


class Header(Strict):
    """A header and its value."""

    name: HeaderName
    value: Annotated[str, text(1, 4096)]


Headers = Annotated[tuple[Header, ...], entries(0, 16, "header"), unique_by("name", ignore_case=True)]


class HeaderModifier(Strict):
    """``set`` replaces a header, ``add`` appends to it, ``remove`` takes it away (names compare without case)."""

    set: Headers = ()
    add: Headers = ()
    remove: Annotated[tuple[str, ...], entries(0, 16, "header")] = ()


class HTTPRouteFilter(Strict):
    """One filter: the field that belongs to ``type`` is set, the others are not."""

    type: FilterType
    request_header_modifier: HeaderModifier | None = None
    response_header_modifier: HeaderModifier | None = None
    request_mirror: Opaque = None
    request_redirect: Opaque = None
    url_rewrite: Opaque = None
    extension_ref: Opaque = None
    cors: Opaque = None
    external_auth: Opaque = None

    @model_validator(mode="after")
    def _field_belongs_to_type(self) -> HTTPRouteFilter:
        wanted = FIELD_OF_FILTER[self.type]
        for name, info in type(self).model_fields.items():
            field = info.alias or name
            present = getattr(self, name) is not None
            if field == wanted and not present:
                raise fault(f"is required when type is '{self.type}'", f"add {field}", field)
            if field not in (wanted, "type") and present:
                raise fault(f"must not be set when type is '{self.type}'", f"remove {field} or change type", field)
        return self


_REPEATABLE = (FilterType.REQUEST_MIRROR, FilterType.EXTENSION_REF, FilterType.EXTERNAL_AUTH)


def _mostly_once(filters: tuple[HTTPRouteFilter, ...]) -> tuple[HTTPRouteFilter, ...]:
    seen: set[FilterType] = set()
    for index, given in enumerate(filters):
        if given.type in seen and given.type not in _REPEATABLE:
            raise fault(f"'{given.type}' is given twice", "merge the two filters into one", index, "type")
        seen.add(given.type)
    if {FilterType.REQUEST_REDIRECT, FilterType.URL_REWRITE} <= seen:
        raise fault("a request cannot be both redirected and rewritten", "remove RequestRedirect or URLRewrite")
    return filters


Filters = Annotated[tuple[HTTPRouteFilter, ...], entries(0, 16, "filter"), AfterValidator(_mostly_once)]
"""The filters of one rule or backend; all but mirrors and extensions are given at most once."""
