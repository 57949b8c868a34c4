"""The peer's SETTINGS (RFC 9113 section 6.5)."""

from __future__ import annotations

from collections.abc import Mapping

from signalbox.wire import frames
from signalbox.wire.errors import ConnectionFault, ErrorCode
from signalbox.wire.outbound import Outbound
from signalbox.wire.stream import Stream


def apply_settings(
    data: bytes, start: int, end: int, outbound: Outbound, streams: Mapping[int, Stream], now: float
) -> None:
    """Apply the parameters in ``data[start:end]`` and acknowledge them; of one that comes twice the last value counts.

    The acknowledgement goes first: until the peer reads it, it holds us to the old window and frame size, so body that
    the new ones set free may not overtake it (section 6.5.3).

    MAX_CONCURRENT_STREAMS and MAX_HEADER_LIST_SIZE need nothing from a server that never pushes and answers with a
    few short fields. Raises `ConnectionFault` for a size or a value that the RFC forbids.
    """
    if (end - start) % 6:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS is not a multiple of 6 bytes")
    values: dict[int, int] = {}
    for identifier, value in frames.SETTING.iter_unpack(memoryview(data)[start:end]):
        _check(identifier, value)
        values[identifier] = value
    outbound.put(frames.SETTINGS_ACK)
    if frames.HEADER_TABLE_SIZE in values:
        outbound.table_size_changed()
    if frames.MAX_FRAME_SIZE in values:
        outbound.frame_size = values[frames.MAX_FRAME_SIZE]
    if frames.INITIAL_WINDOW_SIZE in values:
        # Once, not for every repetition: each goes through all open streams.
        outbound.change_initial_window(values[frames.INITIAL_WINDOW_SIZE], streams.values(), now)


def _check(identifier: int, value: int) -> None:
    if identifier == frames.ENABLE_PUSH and value > 1:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"SETTINGS_ENABLE_PUSH {value} is neither 0 nor 1")
    if identifier == frames.INITIAL_WINDOW_SIZE and value > frames.LARGEST_WINDOW:
        raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, f"SETTINGS_INITIAL_WINDOW_SIZE {value} over 2147483647")
    if identifier == frames.MAX_FRAME_SIZE and not frames.DEFAULT_FRAME_SIZE <= value <= frames.LARGEST_FRAME_SIZE:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"SETTINGS_MAX_FRAME_SIZE {value} not in 16384..16777215")
