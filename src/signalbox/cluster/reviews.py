"""Who may read: bearer tokens and what their owners are allowed, as the API server sees it.

A TokenReview says who a token belongs to, a SubjectAccessReview whether that user may GET a path. Both are remembered
for a short while, by a digest of the token; a Prometheus server asks every few seconds.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from signalbox.cluster.api import Api
from signalbox.cluster.errors import Unreachable

T = TypeVar("T")

ALLOWED_SECONDS = 60.0
"""For how long a permission is relied upon."""

DENIED_SECONDS = 10.0
"""For how long a refusal is: someone may be about to mend it."""

MOST_REMEMBERED = 1024
MOST_AT_ONCE = 4
"""Reviews under way at a time, so that made-up tokens cannot be turned into load on the API server."""


class _User(msgspec.Struct):
    username: str = ""
    uid: str = ""
    groups: list[str] | None = None
    extra: dict[str, list[str]] | None = None


class _TokenStatus(msgspec.Struct):
    authenticated: bool = False
    user: _User = msgspec.field(default_factory=_User)
    error: str = ""


class _TokenReview(msgspec.Struct):
    status: _TokenStatus = msgspec.field(default_factory=_TokenStatus)


class _AccessStatus(msgspec.Struct):
    allowed: bool = False
    reason: str = ""


class _AccessReview(msgspec.Struct):
    status: _AccessStatus = msgspec.field(default_factory=_AccessStatus)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one question. ``user`` is empty for a token nobody owns."""

    user: str
    allowed: bool


class Reviews:
    """Asks the API server, and remembers its answers."""

    def __init__(self, api: Api, clock: Callable[[], float]) -> None:
        self._api = api
        self._clock = clock
        self._remembered: OrderedDict[tuple[bytes, str], tuple[float, Verdict]] = OrderedDict()
        self._at_once = asyncio.Semaphore(MOST_AT_ONCE)

    async def may_get(self, token: str, path: str) -> Verdict:
        """Say whether the owner of ``token`` may GET ``path`` (a ``nonResourceURL``).

        Raises:
            ApiFailure: the API server did not say; see `signalbox.cluster.ApiFailure`.
        """
        question = (hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest(), path)
        known = self._recall(question)
        if known is not None:
            return known
        async with self._at_once:
            known = self._recall(question)  # asked and answered while this one waited
            if known is None:
                known = await self._ask(token, path)
                self._remember(question, known)
        return known

    async def _ask(self, token: str, path: str) -> Verdict:
        answer = await self._create("authentication.k8s.io", "TokenReview", "tokenreviews", {"token": token})
        who = _decode(answer, _TokenReview).status
        if not who.authenticated or not who.user.username:
            return Verdict("", allowed=False)
        spec = {
            "user": who.user.username,
            "uid": who.user.uid,
            "groups": who.user.groups or [],
            "extra": who.user.extra or {},
            "nonResourceAttributes": {"path": path, "verb": "get"},
        }
        answer = await self._create("authorization.k8s.io", "SubjectAccessReview", "subjectaccessreviews", spec)
        return Verdict(who.user.username, _decode(answer, _AccessReview).status.allowed)

    async def _create(self, group: str, kind: str, plural: str, spec: dict[str, Any]) -> bytes:
        body = {"apiVersion": f"{group}/v1", "kind": kind, "spec": spec}
        return await self._api.request("POST", f"/apis/{group}/v1/{plural}", body=body)

    def _recall(self, question: tuple[bytes, str]) -> Verdict | None:
        known = self._remembered.get(question)
        return known[1] if known is not None and self._clock() < known[0] else None

    def _remember(self, question: tuple[bytes, str], verdict: Verdict) -> None:
        seconds = ALLOWED_SECONDS if verdict.allowed else DENIED_SECONDS
        self._remembered[question] = (self._clock() + seconds, verdict)
        self._remembered.move_to_end(question)
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)


def _decode(answer: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer, type=kind)
    except msgspec.MsgspecError as error:
        raise Unreachable(f"no {kind.__name__.lstrip('_')}: {error}") from None
