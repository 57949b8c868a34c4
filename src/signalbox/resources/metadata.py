"""What every object carries: its metadata, its key and where it was read."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, Field, PrivateAttr

from signalbox.resources.problems import Key, Origin
from signalbox.resources.scalars import DNSLabel, DNSSubdomain, LabelKey, Labels, Timestamp
from signalbox.resources.strict import Integer, Opaque, Strict


class TemplateMeta(Strict):
    """The metadata of a pod template: as of an object, but the name is optional."""

    name: str = ""
    generate_name: str = ""
    namespace: Annotated[DNSLabel, BeforeValidator(lambda value: "default" if value == "" else value)] = "default"
    self_link: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: Integer = 0
    creation_timestamp: Timestamp | None = None
    deletion_timestamp: Timestamp | None = None
    deletion_grace_period_seconds: Integer | None = None
    labels: Labels = Field(default={})
    annotations: dict[LabelKey, str] = Field(default={})
    owner_references: Opaque = None
    finalizers: Opaque = None
    managed_fields: Opaque = None


class ObjectMeta(TemplateMeta):
    """The metadata of an object. ``namespace`` is ``"default"`` where a document gives none."""

    name: DNSSubdomain


class Resource(Strict):
    """Any Kubernetes object. Two objects are equal when their documents say the same, wherever they were read."""

    api_version: str
    kind: str
    metadata: ObjectMeta

    _origin: Origin | None = PrivateAttr(default=None)
    _written_as: str | None = PrivateAttr(default=None)

    @property
    def origin(self) -> Origin | None:
        """Where the object was read; ``None`` for one made by a program."""
        return self._origin

    @property
    def written_as(self) -> str:
        """The ``apiVersion`` of the document it was read from; not ``api_version`` after a conversion."""
        return self._written_as or self.api_version

    @property
    def key(self) -> Key:
        """What identifies the object among others."""
        return Key(self.kind, self.metadata.namespace, self.metadata.name)

    @property
    def created(self) -> datetime | None:
        """``metadata.creationTimestamp``."""
        return self.metadata.creation_timestamp

    def read_from(self, origin: Origin, written_as: str | None = None) -> None:
        """Note where the object was read and in which version it was written. For parsers only."""
        self._origin = origin
        self._written_as = written_as

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Resource):
            return NotImplemented
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(self.key)
