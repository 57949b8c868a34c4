"""Keep the rows in the lowest part of a column's range.

``min <= x <= min + (max - min) / n`` with n candidates: the guide release's rule for "least queuing" and "least KV
cache".
"""

from __future__ import annotations

from signalbox.pool import Floats, Rows

_FEW = 32
"""Values up to which Python's own min and max are faster than numpy's: 0.4 us against 1.6 us for 8 of them."""


def lowest_share(rows: Rows, values: Floats, *, whole: bool) -> Rows:
    """Return the rows whose value lies in the lowest n-th of the range of ``values`` (one value for each of n rows).

    ``whole`` divides as integers do, which is the reference's rule for request counts: of 0, 3 and 10 requests, 0 and
    3 stay.
    """
    if len(rows) < 2:
        return rows
    if len(rows) <= _FEW:
        plain = values.tolist()
        low, high = min(plain), max(plain)
    else:
        low, high = values.min(), values.max()
    span = high - low
    if not span:
        return rows
    limit = low + (span // len(rows) if whole else span / len(rows))
    kept: Rows = rows[values <= limit]
    return kept


def lowest_few(rows: list[int], values: list[float], *, whole: bool) -> list[int]:
    """Return `lowest_share`."""
    if len(rows) < 2:
        return rows
    low = min(values)
    span = max(values) - low
    if not span:
        return rows
    limit = low + (span // len(rows) if whole else span / len(rows))
    return [row for row, value in zip(rows, values, strict=True) if value <= limit]
