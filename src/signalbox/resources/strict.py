"""The base of every model: frozen, camelCase in documents, no unknown fields, no guessing at types."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, StrictBool, StrictInt, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

FAULT = "signalbox_fault"

Opaque = Any
"""The content of a standard field that is accepted as it stands, because nothing here acts on it."""

Integer = StrictInt
Boolean = StrictBool


class Strict(BaseModel):
    """A part of a Kubernetes object.

    In a document a field has its camelCase name; in Python its snake_case name. ``null`` means that a field is absent.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: object) -> object:
        if isinstance(value, dict):
            return {name: content for name, content in value.items() if content is not None}
        return value


def fault(message: str, fix: str, *at: str | int) -> PydanticCustomError:
    """Return the error to raise from a validator; ``at`` leads from the validated value to the field to blame."""
    return PydanticCustomError(FAULT, "{message}", {"message": message, "fix": fix, "at": at})


def describe(value: object) -> str:
    """Name a value in plain words: ``the string '80a'``, ``a list``."""
    match value:
        case None:
            return "null"
        case bool():
            return f"the boolean {str(value).lower()}"
        case int():
            return f"the integer {value}"
        case float():
            return f"the number {value}"
        case str():
            return f"the string {value!r}" if len(value) <= 60 else f"the string {value[:57] + '...'!r}"
        case list() | tuple():
            return "a list"
        case dict():
            return "a mapping"
        case BaseModel():
            return f"a {type(value).__name__}"
    return f"a {type(value).__name__}"


def _integer_or_string(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise fault(f"expected an integer or a string, got {describe(value)}", "write a number or a name")
    return value


IntegerOrString = Annotated[int | str, BeforeValidator(_integer_or_string)]
