"""The precise prefix cache on ``/debug/pool`` and in ``signalbox status``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from signalbox.director import PreciseTracker, Rules
from signalbox.signals.kv_events import EventsFollower
from signalbox.signals.tokens import TokenClient


def precise_page(rules: Rules, events: EventsFollower, tokens: TokenClient) -> dict[str, Any] | None:
    """Return what is known of it, ready for JSON; ``None`` where prefixes are approximate."""
    tracker = rules.prefix
    if not isinstance(tracker, PreciseTracker):
        return None
    index = tracker.index
    return {
        "blocks": index.blocks,
        "reported": index.entries,
        "memory_bytes": index.memory_bytes,
        "asked": msgspec.to_builtins(tracker.figures),
        "tally": msgspec.to_builtins(index.tally),
        "tokens": {**msgspec.to_builtins(tokens.figures), "from": tracker.source.url or "the pool's servers"},
        "outages": tokens.outages,
        "trouble": events.trouble,
        "unattributed": events.unattributed,
        "endpoints": {name: msgspec.to_builtins(found) for name, found in events.figures().items()},
    }


def precise_lines(page: Mapping[str, Any]) -> list[str]:
    """Return it in words, a line for each thing to know."""
    asked, tokens, tally = page["asked"], page["tokens"], page["tally"]
    prompts = asked["lookups"] + asked["estimated"]
    lines = [
        f"{page['reported']:,} blocks reported, about {page['memory_bytes'] / 1e6:.1f} MB",
        f"{prompts:,} prompts looked up: {asked['hits']:,} found, {asked['estimated']:,} by estimate",
        f"token ids from {tokens['from']}: {tokens['asked']:,} asked, {tokens['remembered']:,} remembered, "
        f"{tokens['failed'] + tokens['skipped']:,} not had",
    ]
    lines += [f"{name} tells no token ids: prompts are estimated until it does" for name in page["outages"]]
    if page["trouble"]:
        lines.append(page["trouble"])
    silent = [name for name, figures in page["endpoints"].items() if not figures["connected"]]
    if silent:
        named = ", ".join(silent[:5]) + (f" and {len(silent) - 5} more" if len(silent) > 5 else "")
        lines.append(f"no events from {named}; start their servers with --kv-events-config")
    if page["unattributed"]:
        lines.append(f"{page['unattributed']:,} messages of sources that are no endpoint")
    for name, what in (
        ("orphaned", "blocks left out since their beginning was missed; set replaySocketPort"),
        ("unaligned", "blocks left out since their size does not fit blockSizeTokens; set that to the engines' own"),
        ("overflowed", "blocks left out since the index is full"),
    ):
        if tally[name]:
            lines.append(f"{tally[name]:,} {what}")
    malformed = sum([figures["malformed"] for figures in page["endpoints"].values()])
    if malformed:
        lines.append(f"{malformed:,} messages could not be taken in")
    return lines
