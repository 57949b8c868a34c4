"""What all exchanges of a picker share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode

from signalbox.extproc.bodies import BodyBudget
from signalbox.extproc.suspended import NoRoom, WaitingRoom

FULL_DUPLEX: Final[int] = ProcessingMode.FULL_DUPLEX_STREAMED


@dataclass(frozen=True, slots=True)
class Terms:
    """What every exchange of a picker shares: modes where the gateway names none, the body limit in bytes, the budget
    for bodies that are not complete yet or wait, and the room where they wait."""

    request_body_mode: int = FULL_DUPLEX
    response_body_mode: int = FULL_DUPLEX
    max_body: int = 32 * 1024 * 1024
    bodies: BodyBudget = field(default_factory=BodyBudget)
    room: WaitingRoom = field(default_factory=NoRoom)
