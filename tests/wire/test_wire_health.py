"""grpc.health.v1.Health: Check and Watch, and the two messages it is made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.wire import HealthService, ServingStatus, Status, health_routes
from signalbox.wire.health import CHECK, WATCH, encode_check_response, parse_check_request


class FakeCall:
    method = CHECK
    metadata: tuple[tuple[bytes, bytes], ...] = ()

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.ended: tuple[int, str] | None = None

    def send(self, message: bytes) -> None:
        self.sent.append(message)

    def finish(self, status: int = 0, message: str = "") -> None:
        self.ended = (status, message)


def request(service: str) -> bytes:
    name = service.encode()
    return b"\x0a" + bytes((len(name),)) + name


STATUSES = {"": ServingStatus.SERVING, "readiness": ServingStatus.NOT_SERVING}


@pytest.fixture
def statuses() -> dict[str, ServingStatus]:
    return dict(STATUSES)


@pytest.fixture
def health(statuses: dict[str, ServingStatus]) -> HealthService:
    return HealthService(lambda service: statuses.get(service, ServingStatus.SERVICE_UNKNOWN))


class TestCheck:
    def check(self, health: HealthService, message: bytes | None) -> FakeCall:
        call = FakeCall()
        receiver = health.routes()[CHECK](call)
        if message is not None:
            receiver.message(message)
        receiver.half_closed()
        return call

    @pytest.mark.parametrize(("service", "answer"), [("", b"\x08\x01"), ("readiness", b"\x08\x02")])
    def test_a_known_service(self, health: HealthService, service: str, answer: bytes) -> None:
        call = self.check(health, request(service) if service else b"")
        assert (call.sent, call.ended) == ([answer], (0, ""))

    def test_an_unknown_service(self, health: HealthService) -> None:
        call = self.check(health, request("nobody"))
        assert (call.sent, call.ended) == ([], (Status.NOT_FOUND, "unknown service 'nobody'"))

    @pytest.mark.parametrize("message", [None, b"\x0a\x05ab"])
    def test_a_broken_request(self, health: HealthService, message: bytes | None) -> None:
        call = self.check(health, message)
        assert call.ended is not None
        assert call.ended[0] == Status.INTERNAL

    def test_fixed_statuses_need_no_service_object(self) -> None:
        call = FakeCall()
        receiver = health_routes(lambda service: ServingStatus.SERVING)[CHECK](call)
        receiver.message(b"")
        receiver.half_closed()
        assert call.sent == [b"\x08\x01"]


class TestWatch:
    def test_it_tells_the_status_now_and_every_change(
        self, health: HealthService, statuses: dict[str, ServingStatus]
    ) -> None:
        call = FakeCall()
        receiver = health.routes()[WATCH](call)
        receiver.message(request("readiness"))
        receiver.half_closed()
        health.notify()
        statuses["readiness"] = ServingStatus.SERVING
        health.notify()
        health.notify()
        assert call.sent == [b"\x08\x02", b"\x08\x01"]
        assert call.ended is None

    def test_a_service_may_appear_later(self, health: HealthService, statuses: dict[str, ServingStatus]) -> None:
        call = FakeCall()
        health.routes()[WATCH](call).message(request("late"))
        statuses["late"] = ServingStatus.SERVING
        health.notify()
        assert call.sent == [encode_check_response(ServingStatus.SERVICE_UNKNOWN), b"\x08\x01"]

    def test_a_watcher_that_left_is_told_nothing(
        self, health: HealthService, statuses: dict[str, ServingStatus]
    ) -> None:
        call = FakeCall()
        receiver = health.routes()[WATCH](call)
        receiver.message(b"")
        receiver.cancelled()
        statuses[""] = ServingStatus.NOT_SERVING
        health.notify()
        assert call.sent == [b"\x08\x01"]
        assert not health.watchers

    @pytest.mark.parametrize("message", [None, b"\xff"])
    def test_a_broken_request(self, health: HealthService, message: bytes | None) -> None:
        call = FakeCall()
        receiver = health.routes()[WATCH](call)
        if message is None:
            receiver.half_closed()
        else:
            receiver.message(message)
        assert call.ended is not None
        assert call.ended[0] == Status.INTERNAL
        assert not health.watchers

    def test_a_broken_second_request_leaves_no_watcher_behind(self, health: HealthService) -> None:
        call = FakeCall()
        receiver = health.routes()[WATCH](call)
        receiver.message(b"")
        receiver.message(b"\xff")
        assert call.ended is not None
        assert not health.watchers


class TestMessages:
    def test_unknown_fields_are_skipped_and_the_last_name_counts(self) -> None:
        extra = b"\x10\x96\x01" + b"\x1a\x02hi" + b"\x25abcd" + b"\x29abcdefgh"
        assert parse_check_request(request("first") + extra + request("last")) == "last"

    @pytest.mark.parametrize("broken", [b"\x0a", b"\x0a\x02a", b"\x80", b"\x0b", b"\x0a\x01\xff", b"\x80" * 11])
    def test_broken_ones(self, broken: bytes) -> None:
        with pytest.raises(ValueError):
            parse_check_request(broken)

    @given(st.binary(max_size=50))
    def test_any_bytes_parse_or_fail(self, data: bytes) -> None:
        try:
            service = parse_check_request(data)
        except ValueError:
            return
        assert len(service.encode()) <= len(data)

    def test_the_default_status_is_an_empty_message(self) -> None:
        assert encode_check_response(ServingStatus.UNKNOWN) == b""
