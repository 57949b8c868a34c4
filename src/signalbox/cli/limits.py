"""The limits of a picker's ext_proc port, from its options."""

from __future__ import annotations

from signalbox.cli.epp_options import EppOptions
from signalbox.wire import Limits

MIB = 1024 * 1024

ENVELOPE = 4 * MIB
"""Bytes that a gRPC message may be larger than the body in it: ext_proc's own fields, and bodies just over the limit,
which are to get a 413 and not a broken exchange."""


def read_limits(options: EppOptions) -> Limits:
    """Return what one client, and all of them together, may take.

    Raises:
        ValueError: two of the limits contradict each other; the message names both flags.
    """
    message = options.body_limit + ENVELOPE
    if options.max_buffered < message:
        raise ValueError(
            f"--max-buffered-mib {options.max_buffered // MIB}: one body of --body-limit {options.body_limit // MIB}"
            f" takes up to {message // MIB} MiB; raise the first or lower the second"
        )
    if options.max_total_buffered < options.max_buffered:
        raise ValueError(
            f"--max-total-buffered-mib {options.max_total_buffered // MIB} is below --max-buffered-mib"
            f" {options.max_buffered // MIB}: raise the first or lower the second"
        )
    return Limits(
        streams=options.max_streams,
        header_list_bytes=options.max_header_bytes,
        message_bytes=message,
        buffered_bytes=options.max_buffered,
        server_buffered_bytes=options.max_total_buffered,
        connections=options.max_connections,
        idle_seconds=options.idle_seconds,
        message_seconds=options.message_seconds,
    )
