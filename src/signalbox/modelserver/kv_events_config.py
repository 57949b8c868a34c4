"""vLLM's ``--kv-events-config``."""

from __future__ import annotations

import argparse

import msgspec


class KVEventsConfig(msgspec.Struct, frozen=True):
    """Where cache events are published."""

    enable_kv_cache_events: bool = False
    publisher: str = "zmq"
    endpoint: str = "tcp://*:5557"
    """Bound where it has a ``*``, ``::``, ``ipc://`` or ``inproc://`` in it, else connected to."""
    replay_endpoint: str | None = None
    """Where past events can be asked for; bound."""
    buffer_steps: int = 10_000
    """Batches that can be asked for."""
    hwm: int = 100_000
    max_queue_size: int = 100_000
    topic: str = ""


def read_kv_events(text: str) -> KVEventsConfig | None:
    """Read the flag's value; ``None`` where events are not published."""
    try:
        config = msgspec.json.decode(text, type=KVEventsConfig)
    except msgspec.MsgspecError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None
    if config.publisher not in ("zmq", "null"):
        raise argparse.ArgumentTypeError(f"publisher {config.publisher!r}: zmq and null are known")
    if config.buffer_steps < 1 or config.hwm < 0:
        raise argparse.ArgumentTypeError("buffer_steps must be at least 1 and hwm not negative")
    return config if config.enable_kv_cache_events and config.publisher == "zmq" else None
