"""The ``grpc-timeout`` header."""

from __future__ import annotations

import re
from typing import Final

_TIMEOUT: Final = re.compile(rb"([0-9]{1,8})([HMSmun])")
_SECONDS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


def parse_timeout(value: bytes) -> float:
    """Return seconds; raises `ValueError` for anything but 1 to 8 digits and a unit of H, M, S, m, u or n."""
    match = _TIMEOUT.fullmatch(value)
    if match is None:
        raise ValueError(f"grpc-timeout {value!r}: use 1 to 8 digits and one of H M S m u n")
    return int(match[1]) * _SECONDS[match[2]]
