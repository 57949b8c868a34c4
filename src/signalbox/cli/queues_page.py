"""What waits in a picker, for ``/debug/pool`` and ``signalbox status``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signalbox.director import Director


def queues_page(director: Director, now: float) -> dict[str, Any] | None:
    """Return how full the pool is and how much waits in each band, ready for JSON; ``None`` where requests do not
    wait."""
    queues = director.rules.flow
    if queues is None:
        return None
    return {
        "waiting": director.waiting,
        "saturation": round(director.saturation(now, believed=bool(director.waiting)), 4),
        "request_ttl": queues.settings.ttl,
        "bands": [
            {
                "priority": band.priority,
                "requests": band.requests,
                "bytes": band.bytes,
                "flows": band.flows,
                "max_requests": band.max_requests,
                "max_bytes": band.max_bytes,
            }
            for band in queues.bands()
        ],
    }


def queue_lines(page: Mapping[str, Any]) -> list[str]:
    """Return the same as lines to read."""
    first = f"{page['waiting']} waiting, the pool at {page['saturation']:.0%}"
    return [first, *(_band(band) for band in page["bands"])]


def _band(band: Mapping[str, Any]) -> str:
    most = "" if band["max_requests"] is None else f" of at most {band['max_requests']:g}"
    flows = f" in {band['flows']} flow{'s' * (band['flows'] != 1)}" if band["flows"] else ""
    return f"priority {band['priority']}: {band['requests']}{most}{flows}, {band['bytes'] / 1e6:.1f} MB"
