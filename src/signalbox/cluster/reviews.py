"""Who may read: bearer tokens and what their owners are allowed, as the API server sees it.

A TokenReview says who a token belongs to, a SubjectAccessReview whether that user may GET a path. Both are remembered
for a short while, by a digest of the token; a Prometheus server asks every few seconds. A permission counts for longer
while the API server is away: it is then that somebody needs to see what the picker does.
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
from signalbox.cluster.errors import ApiFailure, Refused, Unreachable

T = TypeVar("T")
_Question = tuple[bytes, str]

ALLOWED_SECONDS = 60.0
"""For how long a permission is relied upon."""

DENIED_SECONDS = 10.0
"""For how long a refusal is: someone may be about to mend it."""

MOST_REMEMBERED = 1024
"""Permissions remembered, and as many refusals; made-up tokens push out one another and nobody else."""

MOST_AT_ONCE = 4
"""Reviews under way at a time, so that made-up tokens cannot be turned into load on the API server; as many again for
permissions that are looked up anew."""

MOST_WAITING = 64
"""Reviews that wait for their turn; more are turned away."""

RENEWAL_SECONDS = 2.0
"""How long an answer may take where an earlier permission would do, less than a Prometheus server waits for a page."""

AWAY_SECONDS = 10.0
"""How long an earlier permission counts before the API server is asked again, once it has not answered."""


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
    """What became of one question. ``user`` is empty for a token nobody owns; ``problem`` is why this is an earlier
    answer and no new one could be had."""

    user: str
    allowed: bool
    problem: str = ""


class Reviews:
    """Asks the API server, and remembers its answers."""

    def __init__(self, api: Api, clock: Callable[[], float]) -> None:
        self._api = api
        self._clock = clock
        self._allowed: OrderedDict[_Question, tuple[float, Verdict]] = OrderedDict()
        self._denied: OrderedDict[_Question, tuple[float, Verdict]] = OrderedDict()
        self._at_once = asyncio.Semaphore(MOST_AT_ONCE)
        self._renewing = asyncio.Semaphore(MOST_AT_ONCE)
        self._waiting = 0

    async def may_get(self, token: str, path: str) -> Verdict:
        """Say whether the owner of ``token`` may GET ``path`` (a ``nonResourceURL``).

        Raises:
            ApiFailure: the API server did not say, and has not said before that the owner may.
        """
        question = (hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest(), path)
        known = self._recall(question)
        if known is not None:
            return known
        earlier = self._allowed.get(question)
        if earlier is None:
            return await self._review(question, token, self._at_once)
        try:
            async with asyncio.timeout(RENEWAL_SECONDS):
                return await self._review(question, token, self._renewing)
        except TimeoutError:
            problem = f"no answer within {RENEWAL_SECONDS:g} s"
        except ApiFailure as failure:
            if isinstance(failure, Refused) and failure.code < 500 and failure.code != 429:
                raise
            problem = str(failure)
        known = Verdict(earlier[1].user, allowed=True, problem=problem)
        self._allowed[question] = (self._clock() + AWAY_SECONDS, known)
        return known

    async def _review(self, question: _Question, token: str, turns: asyncio.Semaphore) -> Verdict:
        if turns is self._at_once and self._waiting >= MOST_WAITING:
            raise Unreachable(f"{MOST_WAITING} reviews of tokens wait already")
        self._waiting += 1
        try:
            await turns.acquire()
        finally:
            self._waiting -= 1
        try:
            known = self._recall(question)  # asked and answered while this one waited
            if known is None:
                known = await self._ask(token, question[1])
                self._remember(question, known)
            return known
        finally:
            turns.release()

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

    def _recall(self, question: _Question) -> Verdict | None:
        known = self._allowed.get(question) or self._denied.get(question)
        if known is None or self._clock() >= known[0]:
            return None
        if known[1].allowed:
            self._allowed.move_to_end(question)
        return known[1]

    def _remember(self, question: _Question, verdict: Verdict) -> None:
        self._allowed.pop(question, None)
        self._denied.pop(question, None)
        memory, seconds = (self._allowed, ALLOWED_SECONDS) if verdict.allowed else (self._denied, DENIED_SECONDS)
        memory[question] = (self._clock() + seconds, verdict)
        if len(memory) > MOST_REMEMBERED:
            memory.popitem(last=False)


def _decode(answer: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer, type=kind)
    except msgspec.MsgspecError as error:
        raise Unreachable(f"no {kind.__name__.lstrip('_')}: {error}") from None
