"""The standard health service, ``grpc.health.v1.Health``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum

from signalbox.wire.calls import Accept, Call, Receiver
from signalbox.wire.status import Status

CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"

_SERVICE_TAG = 0x0A  # field 1, length-delimited
_STATUS_TAG = 0x08  # field 1, varint


class ServingStatus(IntEnum):
    """``HealthCheckResponse.ServingStatus``; SERVICE_UNKNOWN says that there is no such service."""

    UNKNOWN = 0
    SERVING = 1
    NOT_SERVING = 2
    SERVICE_UNKNOWN = 3


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("HealthCheckRequest: broken varint")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            return value, at


def parse_check_request(data: bytes) -> str:
    """Return the service a HealthCheckRequest asks about; unknown fields are skipped, `ValueError` if it is broken."""
    service = b""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            _, at = _varint(data, at)
            continue
        if kind == 2:
            size, at = _varint(data, at)
        else:
            size = {1: 8, 5: 4}.get(kind, len(data))
        if at + size > len(data):
            raise ValueError(f"HealthCheckRequest: field {tag >> 3} is cut short or has an unknown type")
        if tag == _SERVICE_TAG:
            service = data[at : at + size]
        at += size
    return service.decode()


def encode_check_response(status: ServingStatus) -> bytes:
    """Return a HealthCheckResponse."""
    return bytes((_STATUS_TAG, status)) if status else b""


class _Check:
    """One Check call: answers when the client has half-closed, as unary calls do."""

    __slots__ = ("_call", "_request", "_status")

    def __init__(self, call: Call, status: Callable[[str], ServingStatus]) -> None:
        self._call = call
        self._status = status
        self._request: bytes | None = None

    def message(self, data: bytes) -> None:
        self._request = data

    def half_closed(self) -> None:
        if self._request is None:
            self._call.finish(Status.INTERNAL, "Check without a HealthCheckRequest")
            return
        try:
            service = parse_check_request(self._request)
        except ValueError as error:
            self._call.finish(Status.INTERNAL, str(error))
            return
        status = self._status(service)
        if status is ServingStatus.SERVICE_UNKNOWN:
            self._call.finish(Status.NOT_FOUND, f"unknown service {service!r}")
            return
        self._call.send(encode_check_response(status))
        self._call.finish()

    def cancelled(self) -> None:
        pass


class _Watch:
    """One Watch call: the status now, and again whenever it has changed."""

    __slots__ = ("_call", "_health", "_sent", "_service")

    def __init__(self, call: Call, health: HealthService) -> None:
        self._call = call
        self._health = health
        self._service: str | None = None
        self._sent: ServingStatus | None = None

    def message(self, data: bytes) -> None:
        try:
            self._service = parse_check_request(data)
        except ValueError as error:
            self._health.watchers.discard(self)  # after `finish` nobody will say `cancelled`
            self._call.finish(Status.INTERNAL, str(error))
            return
        self._health.watchers.add(self)
        self.refresh()

    def half_closed(self) -> None:
        """Every Watch client half-closes at once; the answer goes on."""
        if self._service is None:
            self._call.finish(Status.INTERNAL, "Watch without a HealthCheckRequest")

    def cancelled(self) -> None:
        self._health.watchers.discard(self)

    def refresh(self) -> None:
        if self._service is not None:
            status = self._health.status(self._service)
            if status is not self._sent:
                self._sent = status
                self._call.send(encode_check_response(status))


class HealthService:
    """Answers Check and Watch from ``status(service)``, which also knows the empty name, the server as a whole.

    A service for which ``status`` returns SERVICE_UNKNOWN is NOT_FOUND to Check; Watch reports it and goes on watching.
    """

    def __init__(self, status: Callable[[str], ServingStatus]) -> None:
        self.status = status
        self.watchers: set[_Watch] = set()

    def routes(self) -> Mapping[str, Accept]:
        """The service's methods for `GrpcServer`."""
        return {CHECK: self._check, WATCH: self._watch}

    def notify(self) -> None:
        """Some status may have changed: tell the watchers it concerns."""
        for watcher in tuple(self.watchers):
            watcher.refresh()

    def _check(self, call: Call) -> Receiver:
        return _Check(call, self.status)

    def _watch(self, call: Call) -> Receiver:
        return _Watch(call, self)


def health_routes(status: Callable[[str], ServingStatus]) -> Mapping[str, Accept]:
    """Return the health routes for statuses that do not change while the server runs; see `HealthService`."""
    return HealthService(status).routes()
