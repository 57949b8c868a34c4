"""Numbers as octets, most significant first, for the compiled form.

Interpreted, one call of ``struct`` is the cheapest way to read or write a header, however many numbers are in it.
Compiled, it is the dearest: it makes an object of every number, where reading the octets one by one is a few machine
instructions. So where a header comes with every message there are two ways, ``if NATIVE:`` between them.
"""

from __future__ import annotations

from types import FunctionType
from typing import Final


def read_uint24(data: bytes, at: int) -> int:
    """Return the three octets of ``data`` from ``at`` on as a number; raises `IndexError` where they are not there."""
    return data[at] << 16 | data[at + 1] << 8 | data[at + 2]


def read_uint32(data: bytes, at: int) -> int:
    """The same for four octets."""
    return data[at] << 24 | data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3]


_PROBE: Final[object] = read_uint32
NATIVE: Final[bool] = not isinstance(_PROBE, FunctionType)
"""Whether this is compiled, and with it all that every message passes."""

OCTETS: Final = [bytes((value,)) for value in range(256)]
"""Every octet, for headers put together with ``b"%b%b" % (...)``: compiled, that is one copy of each into its place."""
