"""``signalbox epp`` without ``--source``: follow an API server."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from signalbox.cli.epp_options import EppOptions
from signalbox.cli.in_cluster import InCluster
from signalbox.cli.picker import Picker
from signalbox.cli.stopping import stop_on_signals
from signalbox.cli.usage import UsageError
from signalbox.cluster import Access, Api, NoAccess, find_access
from signalbox.pool import Pool
from signalbox.sources.kubernetes import POOL_GROUPS

log = logging.getLogger("signalbox.epp")


def reach_cluster(options: EppOptions, environment: Mapping[str, str]) -> Access:
    """Return the way to the API server.

    Raises:
        UsageError: the pool is not named, its group is none that pools have, or there is no API server.
    """
    if options.pool_name is None:
        raise UsageError(
            "--pool-name NAME is missing: the InferencePool in the cluster; or give --source DIR to read YAML files"
        )
    if options.pool_group is not None and options.pool_group not in POOL_GROUPS:
        raise UsageError(f"--pool-group {options.pool_group}: use {' or '.join(POOL_GROUPS)}")
    try:
        return find_access(options.kubeconfig, environment)
    except NoAccess as error:
        raise UsageError(f"{error}; or give --source DIR to read YAML files instead of a cluster") from error


async def serve_cluster(options: EppOptions, access: Access, environment: Mapping[str, str]) -> None:
    """Run a picker until it is asked to stop.

    Raises as `Picker` does, and `UsageError` where the configuration of the access cannot be used.
    """
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)  # they log every request, and every step of each
    assert options.pool_name is not None  # see reach_cluster
    pool = Pool(options.pool_name, options.pool_namespace)
    try:
        api = Api(access)
    except NoAccess as error:
        raise UsageError(str(error)) from error
    try:
        cluster = InCluster(options, api, pool, environment)
        picker = Picker(options, cluster.source, pool, environment, cluster)
        log.info("following an API server", extra={"access": str(access), "pool": f"{pool.namespace}/{pool.name}"})
        await picker.run(stop_on_signals())
    finally:
        await api.close()
