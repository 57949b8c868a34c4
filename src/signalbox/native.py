"""What the source says to the compiler of the compiled form. This module itself is never compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["mypyc_attr"]

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:

    def mypyc_attr(**_attributes):
        """Stand in for the decorator that only mypyc reads, so that nothing need be installed to run the source."""
        return lambda cls: cls
