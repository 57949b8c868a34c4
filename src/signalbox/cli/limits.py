"""The limits of an ext_proc port, from the options of its command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

from signalbox.cli.epp_options import EppOptions
from signalbox.wire import Limits

MIB = 1024 * 1024

ENVELOPE = 4 * MIB
"""Bytes that a gRPC message may be larger than the body in it: ext_proc's own fields, and bodies just over the limit,
which are to get a 413 and not a broken exchange."""

_OWN_FLAGS = {
    "streams": "--max-streams",
    "header_list_bytes": "--max-header-bytes",
    "message_bytes": "--body-limit",
    "buffered_bytes": "--max-buffered-mib",
    "server_buffered_bytes": "--max-total-buffered-mib",
    "connections": "--max-connections",
    "idle_seconds": "--idle-timeout",
    "message_seconds": "--message-timeout",
}
"""Of the limits, those that have a flag of their own."""


def read_limits(options: EppOptions) -> Limits:
    """Return what one client, and all of them together, may take.

    Raises:
        ValueError: two of the limits contradict each other, and the message names both flags; or
            ``--transport-limit`` says what cannot be.
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
    named = {
        "streams": options.max_streams,
        "header_list_bytes": options.max_header_bytes,
        "message_bytes": message,
        "buffered_bytes": options.max_buffered,
        "server_buffered_bytes": options.max_total_buffered,
        "connections": options.max_connections,
        "idle_seconds": options.idle_seconds,
        "message_seconds": options.message_seconds,
    }
    return with_others(named, options.transport_limits, _OWN_FLAGS)


def with_others(named: Mapping[str, float], given: Sequence[str], flags: Mapping[str, str]) -> Limits:
    """Return limits with the values ``named`` and those ``given`` as ``name=number``, of which the last one counts.

    Raises:
        ValueError: no such limit, one with a flag of its own (``flags``), or a number that it cannot be.
    """
    kinds = {field.name: field.type for field in fields(Limits)}
    others: dict[str, float] = {}
    for text in given:
        name, _, number = text.partition("=")
        name = name.strip()
        if name in flags:
            raise ValueError(f"--transport-limit {text}: this limit has a flag of its own, use {flags[name]}")
        if name not in kinds:
            known = ", ".join(sorted(kinds.keys() - flags.keys()))
            raise ValueError(f"--transport-limit {text}: no such limit; there are {known}")
        whole = kinds[name] == "int"
        try:
            others[name] = int(number) if whole else float(number)
        except ValueError:
            wanted = "a whole number" if whole else "a number"
            raise ValueError(f"--transport-limit {text}: write {name}= and {wanted}") from None
        if not others[name] < float("inf"):
            raise ValueError(f"--transport-limit {text}: write {name}= and a number that is finite")
    try:
        return Limits(**{**named, **others})  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(f"--transport-limit: {error}") from None
