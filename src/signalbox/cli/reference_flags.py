"""Flags of the Go reference that have another name here, or no part to play.

A manifest of the reference's runs with only its image changed. So each of its flags is one of ours, is translated into
one, or is accepted with a note in the log that says why it does nothing; only a value that asks for something that is
not done here is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import typer

_CAMEL = re.compile(r"(?<=[a-z0-9])([A-Z])")

UNUSED = {
    "refresh-prometheus-metrics-interval": "metrics are worked out when they are scraped",
    "metrics-staleness-threshold": "old readings never stop a request; what was sent since is counted on top of them",
    "grpc-max-recv-msg-size": "--body-limit says how large a message may be",
    "grpc-max-send-msg-size": "--body-limit says how large a message may be",
    "zap-stacktrace-level": "errors that are mistakes of the program always come with a stack trace",
    "zap-time-encoding": "times are RFC 3339 in UTC",
    "model-server-metrics-https-insecure-skip-verify": "model servers are asked over http",
}
"""Flags with a value that nothing here depends on, and why."""

UNUSED_SWITCHES = {
    "tracing": "no traces are exported; signalbox explain shows decisions",
    "enable-pprof": "there is no Go profiler here",
    "enable-cert-reload": "certificates are always followed",
    "health-checking": "health is always served at --grpc-health-port",
    "enable-grpc-stream-metrics": "there are no metrics of single streams",
    "emit-endpoint-scores": "signalbox explain shows scores",
    "allow-experimental-plugins": "no plugin here needs it",
}
"""Switches that nothing here depends on, and what is done whatever they say."""

_FIXED = {
    "destination-endpoint-hint-key": ("x-gateway-destination-endpoint",),
    "destination-endpoint-hint-metadata-namespace": ("envoy.lb",),
    "model-server-metrics-scheme": ("http",),
    "model-server-metrics-port": ("0", ""),
    "total-running-requests-metric": ("vllm:num_requests_running",),
    "cache-info-metric": ("vllm:cache_config_info",),
    "tls-min-version": ("VersionTLS12", "1.2"),
    "tls-cipher-suites": ("",),
    "metrics-cert-dir": ("",),
    "metrics-client-ca-file": ("",),
    "endpoint-selector": ("",),
    "endpoint-target-ports": ("",),
}
"""Flags of which only these values say what is done here."""

_INSTEAD = {
    "endpoint-selector": "pickers without an InferencePool are not built: create one with this selector as its"
    " spec.selector.matchLabels, and give --pool-name",
    "endpoint-target-ports": "pickers without an InferencePool are not built: create one with these spec.targetPorts,"
    " and give --pool-name",
}
"""What to do where removing the flag is not all."""

_FIXED_SWITCHES = {"disable-endpoint-subset-filter": False}

_RENAMED = {"drain-timeout": "--drain-seconds"}

_ZAP_LEVELS = {"debug": "4", "info": "2", "error": "1", "panic": "0"}

_TRUE = frozenset({"1", "t", "true"})
_FALSE = frozenset({"0", "f", "false"})


@dataclass(frozen=True, slots=True)
class Translated:
    """A command line in our own flags, and what its owner should know about the others."""

    args: list[str]
    notes: list[str]


def translate(args: Sequence[str], flags: Mapping[str, bool]) -> Translated:
    """Return ``args`` in our own flags.

    ``flags`` are ours, with their dashes, and whether each takes a value. A name of several letters may be written with
    one dash, and in camelCase (``-poolName``), if that gives a name that is known.

    Raises:
        typer.BadParameter: a flag of the reference's asks for something that is not done here.
    """
    rest, told, notes = list(args), list[str](), list[str]()
    while rest:
        arg = rest.pop(0)
        if arg == "--":
            return Translated([*told, arg, *rest], notes)
        written, equals, value = arg.partition("=")
        name = _CAMEL.sub(r"-\1", written.lstrip("-")).lower()
        short = f"-{name}"
        if len(name) == 1 and short in flags and (written == f"-{short}" or (equals and written == short)):
            # Go has one kind of flag: -v=4, --v=4, --v 4. Ours of one letter take what follows as it is.
            if not flags[short]:
                told += [short] if _truth(name, value if equals else "true") else []
            elif equals or rest:
                told += [short, value if equals else rest.pop(0)]
            else:
                told.append(short)
        elif not written.startswith("-") or len(name) < 2:
            # A value, or a short flag; the value of a short flag must not be taken for a flag.
            told.append(arg)
            if flags.get(arg) and rest:
                told.append(rest.pop(0))
        elif f"--{name}" in flags:
            told.append(f"--{name}{equals}{value}")
            if flags[f"--{name}"] and not equals and rest:
                told.append(rest.pop(0))
        elif name in UNUSED_SWITCHES:
            _truth(name, value if equals else "true")
            notes.append(f"--{name} has no effect: {UNUSED_SWITCHES[name]}")
        elif name in _FIXED_SWITCHES:
            if _truth(name, value if equals else "true") is not _FIXED_SWITCHES[name]:
                raise typer.BadParameter("is not done here: remove it", param_hint=f"--{name}")
        elif name == "zap-devel":
            if _truth(name, value if equals else "true"):
                told += ["--log-format", "console"]
        elif name in UNUSED or name in _FIXED or name in _RENAMED or name == "zap-log-level":
            if not equals:
                if not rest:
                    raise typer.BadParameter("needs a value", param_hint=f"--{name}")
                value = rest.pop(0)
            _valued(name, value, told, notes)
        else:
            told.append(arg)
    return Translated(told, notes)


def _valued(name: str, value: str, told: list[str], notes: list[str]) -> None:
    if name in UNUSED:
        notes.append(f"--{name} has no effect: {UNUSED[name]}")
    elif name in _RENAMED:
        told += [_RENAMED[name], value]
    elif name == "zap-log-level":
        level = _ZAP_LEVELS.get(value.lower(), value)
        if not level.isdecimal():
            raise typer.BadParameter(
                f"{value!r} is no level: write debug, info, error or a number", param_hint=f"--{name}"
            )
        told += ["-v", level]
    elif value not in _FIXED[name]:
        allowed = _FIXED[name][0]
        fix = f"write {allowed} or remove it" if allowed else "remove it"
        message = _INSTEAD.get(name, f"{value!r} is not done here: {fix}")
        raise typer.BadParameter(message, param_hint=f"--{name}")


def _truth(name: str, value: str) -> bool:
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise typer.BadParameter(f"{value!r} is neither true nor false", param_hint=f"--{name}")
