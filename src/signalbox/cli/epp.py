"""``signalbox epp``: check the options, find the pool, run the picker."""

from __future__ import annotations

import os
import sys

import uvloop

from signalbox.cli.epp_options import EppOptions
from signalbox.cli.picker import Picker
from signalbox.cli.stopping import stop_on_signals
from signalbox.observability import configure_logging, level_of_verbosity
from signalbox.pool import Pool
from signalbox.resources import InferencePool
from signalbox.scheduling import InvalidPolicy
from signalbox.sources import DirectorySource, ManifestReader
from signalbox.wire import TlsError


class UsageError(Exception):
    """The picker cannot start as asked; the message says what to change."""


def run(options: EppOptions) -> int:
    """Run until stopped; return the exit code.

    That is 0, 1 when a port or a watch on files cannot be had, 2 for options or files that make no sense.
    """
    try:
        level = level_of_verbosity(options.verbosity)
        configure_logging(level, "console" if options.log_format == "console" else "json")
        if options.log_format not in ("json", "console"):
            raise UsageError(f"--log-format {options.log_format}: use json or console")
        if options.config_file is not None and options.config_text is not None:
            raise UsageError("--config-file and --config-text: give one of the two")
        name = find_pool(options)
        pool = Pool(name, options.pool_namespace)
        assert options.source is not None  # find_pool refuses to go on without it
        source = DirectorySource(options.source, pool)
        source.load()
        uvloop.run(_serve(Picker(options, source, pool, os.environ)))
    except InvalidPolicy as error:
        for problem in error.problems:
            print(f"signalbox epp: {problem}", file=sys.stderr)
        return 2
    except (UsageError, TlsError, ValueError) as error:
        print(f"signalbox epp: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        reason = error.strerror or str(error)
        print(
            f"signalbox epp: {error.filename}: {reason}" if error.filename else f"signalbox epp: {reason}",
            file=sys.stderr,
        )
        return 1
    except ExceptionGroup as failures:
        unwatched, others = failures.split(OSError)
        if others is not None or unwatched is None:
            raise
        print(f"signalbox epp: {unwatched.exceptions[0]}", file=sys.stderr)
        return 1
    return 0


async def _serve(picker: Picker) -> None:
    await picker.run(stop_on_signals())


def find_pool(options: EppOptions) -> str:
    """Return the pool's name: the one given, or the only one in the source.

    Raises:
        UsageError: no source, a source that is no directory, or no name where the source does not settle it.
    """
    if options.source is None:
        raise UsageError(
            "--source DIR is missing: give the directory that holds the InferencePool, its models and its Pods as YAML"
            " (watching a Kubernetes API server is not built yet)"
        )
    if not options.source.is_dir():
        raise UsageError(f"--source {options.source}: no such directory")
    if options.pool_name is not None:
        return options.pool_name
    pools = [
        resource.metadata.name
        for resource in ManifestReader([options.source]).read().resources
        if isinstance(resource, InferencePool) and resource.metadata.namespace == options.pool_namespace
    ]
    if len(pools) == 1:
        return pools[0]
    found = f"holds {len(pools)} of namespace {options.pool_namespace}: {', '.join(pools)}" if pools else "holds none"
    raise UsageError(f"--pool-name NAME is missing: {options.source} {found}")
