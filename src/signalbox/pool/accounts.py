"""What our requests in flight cost, endpoint by endpoint.

A request is charged when it is routed: itself, the prompt tokens its server has to compute, those it has cached, and
the tokens its answer is expected to have. At the first token the prompt is computed, so its tokens leave
``prefill_tokens`` and ``inflight_tokens`` and the request counts as ``decoding``; everything else stays until the end.
An answer that is not streamed shows nothing until it is whole: its first token is its end.

Each charge takes off what it put on, so the sums return to where they were; an endpoint without requests is set to
exactly zero, whatever rounding left. The columns are numpy arrays for those who read whole pools of them. Here single
entries are written, which a memoryview over the same memory does in half the time.
"""

from __future__ import annotations

from typing import cast

from signalbox.pool.charges import Charge, ScrapeMark
from signalbox.pool.columns import Columns, Floats
from signalbox.pool.endpoints import Endpoint
from signalbox.pool.readings import Readings
from signalbox.pool.unseen import Unseen


def _entries(column: Floats) -> memoryview[float]:
    return cast("memoryview[float]", column.data)


class Accounts:
    """Writes the columns of what is in flight."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._unseen = Unseen(columns)
        self._bind()

    def _bind(self) -> None:
        """Take views of the arrays, which are others after the columns have grown."""
        columns = self._columns
        self._size = columns.size
        self._inflight = _entries(columns.inflight)
        self._inflight_tokens = _entries(columns.inflight_tokens)
        self._prefill_tokens = _entries(columns.prefill_tokens)
        self._decoding = _entries(columns.decoding)
        self._context_tokens = _entries(columns.context_tokens)
        self._kv_tokens = _entries(columns.kv_tokens)

    def open(self, charge: Charge) -> None:
        """Put a request on the account of its endpoint, as far as it has got."""
        if self._size != self._columns.size:
            self._bind()
        row, prompt, answer = charge.endpoint.row, charge.prompt_tokens, charge.answer_tokens
        new = prompt + answer
        self._inflight[row] += 1.0
        self._context_tokens[row] += new + charge.cached_tokens
        self._kv_tokens[row] += new
        if charge.answered:
            self._inflight_tokens[row] += answer
            self._decoding[row] += 1.0
        else:
            self._inflight_tokens[row] += new
            self._prefill_tokens[row] += prompt

    def answered(self, charge: Charge) -> None:
        """The first token of a request came; only the first call for a charge counts."""
        if charge.answered:
            return
        charge.answered = True
        if self._size != self._columns.size:
            self._bind()
        row = charge.endpoint.row
        self._inflight_tokens[row] -= charge.prompt_tokens
        self._prefill_tokens[row] -= charge.prompt_tokens
        self._decoding[row] += 1.0

    def move(self, charge: Charge, endpoint: Endpoint, cached_tokens: float) -> bool:
        """Put a request on another endpoint's account, which holds ``cached_tokens`` of its prompt; return whether it
        was the last of the endpoint it leaves."""
        idle = self.close(charge)
        whole = charge.prompt_tokens + charge.cached_tokens
        charge.endpoint = endpoint
        charge.cached_tokens = cached_tokens
        charge.prompt_tokens = whole - cached_tokens
        self.open(charge)
        return idle

    def close(self, charge: Charge) -> bool:
        """Take a request off the account; return whether it was the endpoint's last."""
        if self._size != self._columns.size:
            self._bind()
        row = charge.endpoint.row
        left = self._inflight[row] - 1.0
        if left <= 0:
            self._settle(row)
            return True
        new = charge.prompt_tokens + charge.answer_tokens
        self._inflight[row] = left
        self._context_tokens[row] -= new + charge.cached_tokens
        self._kv_tokens[row] -= new
        if charge.answered:
            self._inflight_tokens[row] -= charge.answer_tokens
            self._decoding[row] -= 1.0
        else:
            self._inflight_tokens[row] -= new
            self._prefill_tokens[row] -= charge.prompt_tokens
        return False

    def _settle(self, row: int) -> None:
        self._inflight[row] = 0.0
        self._inflight_tokens[row] = 0.0
        self._prefill_tokens[row] = 0.0
        self._decoding[row] = 0.0
        self._context_tokens[row] = 0.0
        self._kv_tokens[row] = 0.0
        self._unseen.forget(row)

    def forget(self, row: int) -> None:
        """The endpoint has left: its row will be another's."""
        self._unseen.forget(row)

    def mark(self, row: int) -> ScrapeMark:
        """Return what is in flight to ``row`` now, at the beginning of a scrape."""
        return ScrapeMark(float(self._columns.inflight[row]), float(self._columns.kv_tokens[row]))

    def compare(self, row: int, mark: ScrapeMark, readings: Readings, now: float) -> None:
        """A scrape that began at ``mark`` reported ``readings``: remember what it knew of what we sent."""
        self._columns.inflight_mark[row] = mark.inflight
        self._columns.kv_mark[row] = mark.kv_tokens
        if readings.waiting is not None and readings.running is not None:
            self._unseen.compare(row, mark.inflight, readings.waiting + readings.running, now)
