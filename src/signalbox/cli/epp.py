"""``signalbox epp``: check the options, find the pool, run the picker."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
from pathlib import Path

import uvloop

from signalbox.cli.descriptors import allow_descriptors
from signalbox.cli.epp_options import EppOptions
from signalbox.cli.picker import Picker
from signalbox.cli.stopping import stop_on_signals
from signalbox.cli.usage import UsageError
from signalbox.observability import configure_logging, level_of_verbosity
from signalbox.pool import Pool
from signalbox.resources import InferencePool
from signalbox.scheduling import InvalidPolicy
from signalbox.sources import DirectorySource, ManifestReader
from signalbox.wire import TlsError

log = logging.getLogger("signalbox.epp")


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
        for note in options.notes:
            log.info("flag has no effect", extra={"note": note})
        allow_descriptors(options.max_connections, log)
        if options.source is None:
            # Imported here: what it takes to talk to an API server is nothing that pickers of files should pay for.
            from signalbox.cli.epp_cluster import reach_cluster, serve_cluster

            uvloop.run(serve_cluster(options, reach_cluster(options, os.environ), os.environ))
        else:
            refuse_cluster_flags(options)
            pool = Pool(find_pool(options.source, options), options.pool_namespace)
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
    freezing = asyncio.create_task(_freeze_when_listening(picker))
    try:
        await picker.run(stop_on_signals())
    finally:
        freezing.cancel()


async def _freeze_when_listening(picker: Picker) -> None:
    """Take what the start has made, which lives as long as the process, out of the garbage collector's sight.

    A request leaves nothing for it to collect, so it runs rarely; but a full run over everything would hold up all
    requests for as long as a hundred of them take.
    """
    await picker.listening.wait()
    gc.collect()
    gc.freeze()


def refuse_cluster_flags(options: EppOptions) -> None:
    """Raise `UsageError` where flags ask for what only an API server can do."""
    for flag, given in (
        ("--kubeconfig", options.kubeconfig is not None),
        ("--pool-group", options.pool_group is not None),
        ("--ha-enable-leader-election", options.leader_election),
        ("--metrics-endpoint-auth", options.metrics_endpoint_auth is True),
    ):
        if given:
            raise UsageError(f"{flag} is for a picker that follows an API server: drop it, or --source")


def find_pool(source: Path, options: EppOptions) -> str:
    """Return the pool's name: the one given, or the only one in ``source``.

    Raises:
        UsageError: a source that is no directory, or no name where the source does not settle it.
    """
    if not source.is_dir():
        raise UsageError(f"--source {source}: no such directory")
    if options.pool_name is not None:
        return options.pool_name
    pools = [
        resource.metadata.name
        for resource in ManifestReader([source]).read().resources
        if isinstance(resource, InferencePool) and resource.metadata.namespace == options.pool_namespace
    ]
    if len(pools) == 1:
        return pools[0]
    found = f"holds {len(pools)} of namespace {options.pool_namespace}: {', '.join(pools)}" if pools else "holds none"
    raise UsageError(f"--pool-name NAME is missing: {source} {found}")
