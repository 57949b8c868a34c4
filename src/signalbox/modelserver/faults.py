"""Faults on purpose, for tests of what stands in front of a model server."""

import asyncio

import msgspec

from signalbox.modelserver.errors import ApiError


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What goes wrong in /v1/completions and /v1/chat/completions. POST /admin/faults replaces all of it.

    ``error_rate`` is the share of requests that get ``error_status``, evenly spread; ``delay`` real seconds pass
    before an answer begins; with ``hang`` none ever does; a stream is reset once it has sent ``reset_after_tokens``
    tokens.
    """

    error_rate: float = 0.0
    error_status: int = 500
    delay: float = 0.0
    hang: bool = False
    reset_after_tokens: int | None = None


class FaultInjector:
    """The faults in force."""

    def __init__(self) -> None:
        self.faults = Faults()
        self._debt = 0.0

    def replace(self, faults: Faults) -> None:
        """Put other faults in force."""
        self.faults = faults
        self._debt = 0.0

    async def before_answer(self) -> None:
        """Delay, hang or raise, as the faults say."""
        faults = self.faults
        if faults.hang:
            await asyncio.get_running_loop().create_future()  # until the client goes away
        if faults.delay > 0:
            await asyncio.sleep(faults.delay)
        self._debt += faults.error_rate
        if self._debt >= 1 - 1e-9:
            self._debt -= 1
            raise ApiError(faults.error_status, "injected by /admin/faults", "InternalServerError")
