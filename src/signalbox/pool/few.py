"""What `Columns` says of many rows, for a handful of them and without numpy.

A short column is a list in less time than one indexing takes, so these are for pools of a few rows: they turn whole
columns into lists. Each returns what the method of the same name does, to the bit; perhaps a list that others have as
well, which nobody changes.
"""

from __future__ import annotations

from signalbox.pool.columns import Columns, Floats


def requests(columns: Columns, rows: list[int]) -> list[float]:
    """Return `Columns.requests` of ``rows``, which ascend and are not empty, as in all of these."""
    return _of_rows(requests_of_all(columns), rows)


def requests_of_all(columns: Columns) -> list[float]:
    """Return `Columns.requests` of all rows, ready or not, in a list of the caller's own."""
    inflight: list[float] = columns.inflight.tolist()
    if not columns.unseen_rows:
        return inflight
    unseen: list[float] = columns.unseen.tolist()
    return floored([inflight[row] - unseen[row] for row in range(len(unseen))])


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
    return floored(_of_rows(queues(columns), rows))


def queues(columns: Columns) -> list[float]:
    """Return `Columns.queue` of all rows, ready or not, but for the floor: less than 0 means 0."""
    ours: list[float] = columns.inflight.tolist()
    beyond: list[float] = columns.report.queue_beyond_ours_plain
    return [ours[row] + beyond[row] for row in range(len(beyond))]


def kv(columns: Columns, rows: list[int]) -> list[float]:
    """Return `Columns.kv`."""
    return _of_rows(kv_of_all(columns), rows)


def kv_of_all(columns: Columns) -> list[float]:
    """Return `Columns.kv` of all rows, ready or not."""
    report = columns.report
    usage: list[float] = report.kv_usage
    if not report.tells_capacity:
        return usage
    tokens: list[float] = columns.kv_tokens.tolist()
    mark: list[float] = report.kv_mark
    share: list[float] = report.kv_per_token
    return [
        (sent if (sent := tokens[row] - mark[row]) > 0.0 else 0.0) * share[row] + filled
        for row, filled in enumerate(usage)
    ]


def entries(column: Floats, rows: list[int]) -> list[float]:
    """Return ``column[rows]``."""
    return _of_rows(column.tolist(), rows)


def _of_rows(values: list[float], rows: list[int]) -> list[float]:
    count = len(rows)
    if count == len(values):
        return values
    first = rows[0]
    if rows[-1] - first == count - 1:
        return values[first : first + count]
    return [values[row] for row in rows]


def floored(values: list[float]) -> list[float]:
    """Return the values with 0 for negative ones."""
    if sorted(values)[0] >= 0.0:
        return values
    return [value if value > 0.0 else 0.0 for value in values]
