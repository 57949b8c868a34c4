"""What one ext_proc exchange costs in process, without sockets: ``python -m bench.exchange``.

Recorded messages of Envoy go through the very objects that serve them. ``transport`` is the whole way from the bytes
of a read to the bytes of a write, ``exchange`` the part above gRPC, ``decision`` the director's part of that, over 8
endpoints and with the picker's metrics. They take turns within each round; figures are medians of CPU time.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from bench import amounts, report
from bench.decision import loaded_pool
from bench.load import completion_request
from bench.recorded import SHAPES, Shape
from signalbox.director import Arrival, Director, Routed, guide_rules
from signalbox.extproc import PROCESS, Exchange, Terms, picker_routes
from signalbox.observability import PickerMetrics, ReportedLoad
from signalbox.payloads import ResponseReader
from signalbox.wire import Limits
from signalbox.wire.frames import (
    DATA,
    END_HEADERS,
    FRAME_HEADER,
    HEADERS,
    PREFACE,
    RST_STREAM,
    SETTINGS_ACK,
    frame,
    settings,
)
from signalbox.wire.header_blocks import encode_fields
from signalbox.wire.session import GrpcSession

HEAD = encode_fields(
    (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", PROCESS.encode()),
        (b":authority", b"picker"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        (b"x-envoy-internal", b"true"),
        (b"x-forwarded-for", b"192.0.2.2"),
    )
)
_WINDOW = 1 << 30


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU microseconds of one request of a shape."""

    shape: Shape
    transport_us: float
    exchange_us: float
    decision_us: float
    messages: int


class Sink:
    """A call whose answers go nowhere."""

    method = PROCESS
    metadata: Sequence[tuple[bytes, bytes]] = ()

    def send(self, message: bytes) -> None:
        pass

    def finish(self, status: int = 0, message: str = "") -> None:
        pass


def picker_director() -> Director:
    """A director over 8 endpoints, watched by the picker's metrics."""
    pool = loaded_pool(8)
    observer = PickerMetrics(ReportedLoad(pool), build_ref="bench")
    return Director(pool, guide_rules(), rng=random.Random(7), observer=observer, stopwatch=time.perf_counter)


def measure_exchanges(rounds: int, requests: int, shapes: Sequence[Shape] = SHAPES) -> list[Cost]:
    """Measure each shape ``rounds`` times over ``requests`` requests, a twentieth of them for streamed answers."""
    director = picker_director()
    found: list[tuple[list[float], ...]] = [([], [], []) for _ in shapes]
    for _ in range(rounds):
        for shape, times in zip(shapes, found, strict=True):
            count = max(1, requests // 20) if shape.streamed else requests
            for through, turns in zip(_THROUGH.values(), times, strict=True):
                started = time.process_time()
                through(director, shape, count)
                turns.append((time.process_time() - started) / count * 1e6)
    return [
        Cost(shape, median(transport), median(exchange), median(decision), len(shape.messages()))
        for shape, (transport, exchange, decision) in zip(shapes, found, strict=True)
    ]


def through_exchange(director: Director, shape: Shape, requests: int) -> None:
    """Say all of a shape's messages to an exchange, ``requests`` times."""
    messages, call, terms = shape.messages(), Sink(), Terms()
    for _ in range(requests):
        exchange = Exchange(call, director, time.monotonic, terms)
        for message in messages:
            exchange.message(message)


def through_transport(director: Director, shape: Shape, requests: int) -> None:
    """The same as frames on one connection: each message in a read of its own, as long as its answer is awaited."""
    session = GrpcSession(picker_routes(director, time.monotonic), Limits(), _no_timer, lambda: None, 0.0)
    connection = session.connection
    connection.receive(PREFACE + settings(((4, _WINDOW),)) + SETTINGS_ACK, 0.0)
    connection.outbound.widen_connection(_WINDOW, 0.0)
    connection.receive(frame(HEADERS, END_HEADERS, 1, b"\x20" + HEAD), 0.0)
    session.take()
    messages = [b"\x00" + len(message).to_bytes(4, "big") + message for message in shape.messages()]
    for number in range(requests):
        stream = 3 + 2 * number
        connection.outbound.window = _WINDOW  # as WINDOW_UPDATEs would keep it
        for index, message in enumerate(messages):
            size = len(message)
            data = FRAME_HEADER.pack(size >> 8, size & 0xFF, DATA, 0, stream) + message
            connection.receive(frame(HEADERS, END_HEADERS, stream, HEAD) + data if not index else data, 0.0)
            session.take()
        connection.receive(frame(RST_STREAM, 0, stream, bytes(4)), 0.0)
        session.take()
    assert len(connection.streams) == 1, "an exchange did not end with its answer"


def through_director(director: Director, shape: Shape, requests: int) -> None:
    """What of it is the director's: the decision, and the end of the account."""
    body = completion_request(1_000, stream=shape.streamed)
    reader = ResponseReader("application/json")
    reader.feed(b'{"usage": {"prompt_tokens": 11, "completion_tokens": 100}}')
    usage = reader.finish()
    for _ in range(requests):
        outcome = director.arrive(Arrival("/v1/completions", body, "bench"), time.monotonic())
        assert isinstance(outcome, Routed)
        assert outcome.ticket is not None
        director.first_byte(outcome.ticket, time.monotonic())
        director.finish(outcome.ticket, time.monotonic(), outcome="complete", status=200, usage=usage)


_THROUGH = {"transport": through_transport, "exchange": through_exchange, "director": through_director}


class _NoTimer:
    def cancel(self) -> None:
        pass


def _no_timer(seconds: float, callback: Callable[[], None]) -> _NoTimer:
    return _NoTimer()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.exchange", description=__doc__)
    parser.add_argument("--rounds", type=amounts.count, default=7, help="rounds (7)")
    parser.add_argument("--requests", type=amounts.count, default=2_000, help="requests of a turn (2,000)")
    parser.add_argument(
        "--only",
        choices=_THROUGH,
        help="say one shape's requests and measure nothing: for `perf stat -e instructions:u`, once with"
        " --requests 100 and once with 1100; the difference is 1,000 requests, whatever else the machine does",
    )
    parser.add_argument("--shape", type=int, default=0, choices=range(len(SHAPES)), help="the shape of --only (0)")
    options = parser.parse_args()
    if options.only is not None:
        _THROUGH[options.only](picker_director(), SHAPES[options.shape], options.requests)
        return
    rows = [
        (
            cost.shape.title,
            *(f"{value:.1f}" for value in (cost.transport_us, cost.exchange_us, cost.decision_us)),
            *(f"{value:.1f}" for value in (cost.transport_us - cost.exchange_us, cost.exchange_us - cost.decision_us)),
            str(cost.messages),
        )
        for cost in measure_exchanges(options.rounds, options.requests)
    ]
    columns = ("", "transport", "exchange", "decision", "wire alone", "extproc alone", "messages")
    report.show([report.plain_table("one request in process, without sockets: CPU us", columns, rows)])


if __name__ == "__main__":
    main()
