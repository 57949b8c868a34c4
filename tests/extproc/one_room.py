"""A waiting room in which a test says when somebody looks."""

from __future__ import annotations

from signalbox.director import Director, Refused, Routed, Waiting
from signalbox.extproc import Deliver

FLOW = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins:
- {type: queue-scorer}
- {type: concurrency-detector, parameters: {maxConcurrency: 1}}
schedulingProfiles: [{name: default, plugins: [{pluginRef: queue-scorer}]}]
flowControl:
  saturationDetector: {pluginRef: concurrency-detector}
  defaultRequestTTL: 10s
"""
"""One request at a time for each endpoint; the others wait."""

EVICTING = FLOW.replace("flowControl:\n", "flowControl:\n  enableEviction: true\n")
"""The same; sheddable requests give up their places."""


class HandRoom:
    """Delivers when told to."""

    def __init__(self) -> None:
        self.director: Director | None = None
        self.inside: list[Waiting] = []
        self.left = 0
        self.frees = 0

    def enter(self, pending: Waiting, deliver: Deliver) -> None:
        pending.owner = deliver
        self.inside.append(pending)

    def leave(self, pending: Waiting) -> None:
        assert self.director is not None
        self.inside.remove(pending)
        self.left += 1
        self.director.withdraw(pending, 1.0)

    def freed(self) -> None:
        self.frees += 1

    def look(self, now: float = 1.0) -> list[Routed | Refused]:
        """Deliver what there is to deliver."""
        assert self.director is not None
        outcomes = self.director.dispatch(now)
        for waiting, outcome in outcomes:
            self.inside.remove(waiting)
            waiting.owner(outcome)
        return [outcome for _, outcome in outcomes]
