"""Startup, readiness and liveness probes, as a state machine: which check is due when, and what its result means.

The rules are the kubelet's: readiness and liveness wait for the startup probe; a threshold is a run of equal results; a
startup or liveness threshold of failures restarts the container; readiness begins false. One thing is faster here:
until the container has answered for the first time, checks run at least every ``FIRST_INTERVAL`` and do not wait for
``initialDelaySeconds``. A kubelet delays because a check costs it something on a node with a hundred pods, and because
an early failure counts; here failures count only at the pace the manifest gives, so looking early cannot do harm and
saves the person in front of the terminal some seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

FIRST_INTERVAL = 0.1
"""Seconds between checks of a container that has not answered yet."""


class Role(StrEnum):
    """What a probe decides."""

    STARTUP = "startup"
    READINESS = "readiness"
    LIVENESS = "liveness"


class Method(StrEnum):
    """How a probe asks."""

    HTTP = "httpGet"
    TCP = "tcpSocket"


@dataclass(frozen=True, slots=True)
class Timing:
    """When a probe asks, in seconds, and how many equal answers in a row decide. The defaults are Kubernetes' own."""

    initial_delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    success_threshold: int = 1
    failure_threshold: int = 3


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe of a container."""

    method: Method
    port: int
    timing: Timing = Timing()
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    scheme: str = "http"
    place: str = field(default="", compare=False)
    """Where the manifest asks for it: ``spec.template.spec.containers[0].readinessProbe``."""


@dataclass(frozen=True, slots=True)
class Probes:
    """The probes of a container; a role without a probe is ``None``."""

    startup: Probe | None = None
    readiness: Probe | None = None
    liveness: Probe | None = None

    def get(self, role: Role) -> Probe | None:
        """The probe of a role."""
        if role is Role.STARTUP:
            return self.startup
        return self.readiness if role is Role.READINESS else self.liveness

    def with_implicit_startup(self, port: int) -> Probes:
        """Add a TCP check where nothing else says when the container has begun to serve: ready when it listens."""
        if self.startup or self.readiness:
            return self
        listens = Probe(Method.TCP, port, Timing(period=1.0, failure_threshold=600))
        return Probes(listens, None, self.liveness)


@dataclass(slots=True)
class _Track:
    due: float
    successes: int = 0
    failures: int = 0
    next_countable: float = 0.0
    """Before this moment a failure does not count: the manifest would not have looked yet."""


@dataclass(slots=True)
class ContainerHealth:
    """The health of one container. Time is a parameter: seconds of a monotonic clock."""

    probes: Probes
    started: bool = False
    """The startup probe has succeeded (or there is none)."""
    ready: bool = False
    restart_due: bool = False
    """A startup or liveness probe has failed too often: the process should be replaced."""
    _tracks: dict[Role, _Track] = field(default_factory=dict)
    _answered: bool = False

    def process_started(self, now: float) -> None:
        """A new process has begun: everything that was known about the old one is forgotten."""
        self.restart_due = False
        self.ready = False
        self._answered = False
        self._tracks = {}
        self.started = self.probes.startup is None
        if self.probes.startup:
            self._watch(Role.STARTUP, now)
        else:
            self._begin_service(now)

    def process_ended(self) -> None:
        """The process is gone: not ready, nothing to check until the next one starts."""
        self.ready = False
        self.started = False
        self.restart_due = False
        self._tracks = {}

    def next_due(self) -> float | None:
        """The moment of the next check, or ``None`` when nothing is to be checked."""
        return min((track.due for track in self._tracks.values()), default=None)

    def due(self, now: float) -> tuple[Role, ...]:
        """The checks to run now."""
        return tuple(role for role, track in self._tracks.items() if track.due <= now)

    def observe(self, role: Role, success: bool, now: float) -> None:
        """Take in the result of a check. A result for a role that is no longer watched is ignored."""
        track, probe = self._tracks.get(role), self.probes.get(role)
        if track is None or probe is None:
            return
        if success:
            self._answered = True
            track.successes += 1
            track.failures = 0
        elif self._answered or now >= track.next_countable:
            track.failures += 1
            track.successes = 0
            track.next_countable = now + probe.timing.period
        track.due = now + (probe.timing.period if self._answered else min(probe.timing.period, FIRST_INTERVAL))
        self._judge(role, probe, track, now)

    def _judge(self, role: Role, probe: Probe, track: _Track, now: float) -> None:
        passed = track.successes >= probe.timing.success_threshold
        failed = track.failures >= probe.timing.failure_threshold
        if role is Role.READINESS:
            self.ready = passed or (self.ready and not failed)
        elif failed:
            self.restart_due = True
            self.ready = False
            self._tracks = {}
        elif role is Role.STARTUP and passed:
            del self._tracks[Role.STARTUP]
            self.started = True
            self._begin_service(now)

    def _begin_service(self, now: float) -> None:
        if self.probes.readiness:
            self._watch(Role.READINESS, now)
        else:
            self.ready = True
        if self.probes.liveness:
            self._watch(Role.LIVENESS, now)

    def _watch(self, role: Role, now: float) -> None:
        probe = self.probes.get(role)
        if probe is not None:
            # With a startup probe behind it the container is up, and a delay counted from its start is over.
            delay = 0.0 if self._answered else probe.timing.initial_delay
            self._tracks[role] = _Track(due=now, next_countable=now + delay)
