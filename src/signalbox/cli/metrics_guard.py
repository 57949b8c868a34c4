"""Who may read the metrics and the admin pages of a picker in a cluster: whom the API server lets GET their path."""

from __future__ import annotations

import logging

from signalbox.cluster import ApiFailure, Reviews
from signalbox.observability import Denial

log = logging.getLogger("signalbox.epp")


class MetricsGuard:
    """Asks `Reviews`. A caller that shows no token is not looked up."""

    def __init__(self, reviews: Reviews) -> None:
        self._reviews = reviews
        self._problem = ""

    async def __call__(self, path: str, authorization: str) -> Denial | None:
        """Return why the request is denied, or ``None``: 401 without a valid token, 403 without permission, 500 where
        the API server does not say and has not said before that they may."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return Denial(401, "no bearer token: send that of a service account that may get this path")
        try:
            verdict = await self._reviews.may_get(token, path)
        except ApiFailure as failure:
            self._complain(str(failure))
            return Denial(500, "the API server did not say who this is and what they may do: see the picker's log")
        if verdict.problem and not self._problem:
            log.warning(
                "the API server does not answer reviews: whoever was allowed last still is",
                extra={"problem": verdict.problem},
            )
        self._problem = verdict.problem
        if not verdict.user:
            return Denial(401, "the bearer token is not valid, or no longer")
        if not verdict.allowed:
            fix = f"give it a ClusterRole with nonResourceURLs: [{path}] and verbs: [get]"
            return Denial(403, f"{verdict.user} may not get {path}: {fix}")
        return None

    def _complain(self, problem: str) -> None:
        if problem and problem != self._problem:
            log.error("metrics denied: the API server does not answer reviews", extra={"problem": problem})
        self._problem = problem
