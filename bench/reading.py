"""Reading one ext_proc message, by its bytes and by protobuf's objects: ``python -m bench.reading``.

Best of several turns, in microseconds: short loops like these are disturbed upwards only.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable

from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest

from bench import report
from bench.recorded import SHAPES
from signalbox.extproc.decoding import find_body, find_headers, read_tail, tail_of
from signalbox.extproc.headers import READ_IN_ANSWERS, READ_IN_REQUESTS, values_of

_TURNS, _READS = 7, 10_000


def main() -> None:
    """Measure and print."""
    head, *_, answer, _ = SHAPES[1].messages()
    chunk = SHAPES[3].messages()[4]
    rows = [
        ("request headers, ten", _us(lambda: _find_head(head)), _us(lambda: _parse_head(head))),
        ("response headers, six", _us(lambda: _find_answer(answer)), _us(lambda: _parse_answer(answer))),
        ("a chunk of 180 bytes", _us(lambda: _find_chunk(chunk)), _us(lambda: _parse_chunk(chunk))),
    ]
    report.show([report.plain_table("us for one message", ("", "in its bytes", "by protobuf"), rows)])


def _us(read: Callable[[], object]) -> str:
    return f"{min(timeit.repeat(read, number=_READS, repeat=_TURNS)) / _READS * 1e6:.2f}"


def _find_head(data: bytes) -> object:
    found = find_headers(data, READ_IN_REQUESTS)
    assert found is not None
    return found[0], found[2], read_tail(data[found[1] :])


def _parse_head(data: bytes) -> object:
    message = ProcessingRequest.FromString(data)
    assert message.WhichOneof("request") == "request_headers"
    head = message.request_headers
    return values_of(head, READ_IN_REQUESTS), head.end_of_stream, tail_of(message)


def _find_answer(data: bytes) -> object:
    found = find_headers(data, READ_IN_ANSWERS)
    assert found is not None
    return found[0], found[2], read_tail(data[found[1] :])


def _parse_answer(data: bytes) -> object:
    message = ProcessingRequest.FromString(data)
    assert message.WhichOneof("request") == "response_headers"
    head = message.response_headers
    return values_of(head, READ_IN_ANSWERS), head.end_of_stream, tail_of(message)


def _find_chunk(data: bytes) -> object:
    found = find_body(data)
    assert found is not None
    return data[found[0] : found[1]], found[3], read_tail(data[found[2] :])


def _parse_chunk(data: bytes) -> object:
    message = ProcessingRequest.FromString(data)
    assert message.WhichOneof("request") == "response_body"
    body = message.response_body
    return body.body, body.end_of_stream, tail_of(message)


if __name__ == "__main__":
    main()
