"""What `Columns` says of many rows, for a handful of them and without numpy.

A short column is a list in less time than one indexing takes, so these are for pools of a few rows: they turn whole
columns into lists. Each returns what the method of the same name does, to the bit.
"""

from __future__ import annotations

from operator import add

from signalbox.pool.columns import Columns, Floats


def requests(columns: Columns, rows: list[int]) -> list[float]:
    """Return `Columns.requests` of ``rows``, which ascend and are not empty, as in all of these."""
    inflight = columns.inflight.tolist()
    if not columns.unseen_rows:
        return _of_rows(inflight, rows)
    unseen = columns.unseen.tolist()
    return floored([inflight[row] - unseen[row] for row in rows])


def believed(columns: Columns, column: Floats, rows: list[int]) -> list[float]:
    """Return `Columns.believed`."""
    values = _of_rows(column.tolist(), rows)
    if not columns.unseen_rows:
        return values
    inflight = columns.inflight.tolist()
    seen = requests(columns, rows)
    return [value * (mine / max(inflight[row], 1.0)) for value, mine, row in zip(values, seen, rows, strict=True)]


def queue(columns: Columns, rows: list[int]) -> list[float]:
    """Return `Columns.queue`."""
    queues = list(map(add, columns.inflight.tolist(), columns.report.queue_beyond_ours_plain))
    return floored(_of_rows(queues, rows))


def kv(columns: Columns, rows: list[int]) -> list[float]:
    """Return `Columns.kv`."""
    report = columns.report
    usage = report.kv_usage
    if not report.tells_capacity:
        return _of_rows(usage, rows)
    tokens, mark, share = columns.kv_tokens.tolist(), report.kv_mark, report.kv_per_token
    sent = floored([tokens[row] - mark[row] for row in rows])
    return [more * share[row] + usage[row] for more, row in zip(sent, rows, strict=True)]


def entries(column: Floats, rows: list[int]) -> list[float]:
    """Return ``column[rows]``."""
    return _of_rows(column.tolist(), rows)


def _of_rows(values: list[float], rows: list[int]) -> list[float]:
    first = rows[0]
    if rows[-1] - first == len(rows) - 1:
        return values[first : first + len(rows)]
    return [values[row] for row in rows]


def floored(values: list[float]) -> list[float]:
    """Return the values with 0 for negative ones."""
    if sorted(values)[0] >= 0.0:
        return values
    return [value if value > 0.0 else 0.0 for value in values]
