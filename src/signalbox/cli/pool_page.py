"""``/debug/pool``: what a picker knows, for whoever asks why."""

from __future__ import annotations

from typing import Any

from signalbox.pool import Pool


def pool_page(pool: Pool, now: float) -> dict[str, Any]:
    """Return endpoints with their columns, model names and conflicts, ready for JSON; ``now`` in seconds."""
    columns = pool.columns
    return {
        "pool": f"{pool.namespace}/{pool.name}",
        "known": pool.spec is not None,
        "endpoints": [
            {
                "name": endpoint.name,
                "address": endpoint.address,
                "waiting": columns.waiting[endpoint.row],
                "running": columns.running[endpoint.row],
                "kv_usage": columns.kv_usage[endpoint.row],
                "in_flight": columns.inflight[endpoint.row],
                "in_flight_tokens": columns.inflight_tokens[endpoint.row],
                "active_adapters": sorted(name for name, mask in columns.adapters.items() if mask[endpoint.row]),
                "failed_scrapes": columns.failed_scrapes[endpoint.row],
                "scraped_seconds_ago": (
                    round(now - columns.scraped_at[endpoint.row], 3) if columns.scraped_at[endpoint.row] >= 0 else None
                ),
            }
            for endpoint in pool.endpoints
        ],
        "models": list(pool.catalogue.names),
        "conflicts": [str(conflict) for conflict in pool.catalogue.conflicts],
    }
