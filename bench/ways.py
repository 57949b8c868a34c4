"""The ways that ``python -m bench`` compares."""

from __future__ import annotations

from bench import envoy_static as static
from bench.forms import FORM, compiled_tree
from bench.ports import free_port
from bench.rig import Rig, Way

ALONE, FLOOR, TRANSPORT, H2, GRPC, PICKER, COMPILED, GATEWAY = (
    "alone",
    "floor",
    "transport",
    "h2",
    "grpc.aio",
    "picker",
    "compiled",
    "gateway",
)

_BARE = {
    FLOOR: ("bare_frames", "bare frame loop, keeps no rules"),
    TRANSPORT: ("own_transport", "our transport, bare answers"),
    H2: ("h2_library", "bare h2 library on uvloop"),
    GRPC: ("grpc_aio", "bare grpc.aio"),
}


def start_ways(rig: Rig) -> list[Way]:
    """Start everything: Envoy alone first, then the bare servers, the picker, and our own gateway.

    All but the last go through one Envoy, by a listener each, set up as in clusters (FULL_DUPLEX_STREAMED both ways).
    Where there is a C compiler, the compiled picker is one of them.
    """
    rig.start_upstream()
    picker, picker_address = rig.start_picker(rig.endpoints)
    servers = {key: (*rig.start_bare(module), title) for key, (module, title) in _BARE.items()}
    servers[PICKER] = (picker, picker_address, f"our picker, {FORM}, Envoy as in clusters")
    tree = compiled_tree()
    if tree is not None:
        started = rig.start_picker(rig.endpoints, "compiled-picker", tree)
        servers[COMPILED] = (*started, "our picker, compiled, Envoy as in clusters")
    ports = {key: free_port() for key in (ALONE, *servers)}
    clusters = [static.picked_cluster("pool", rig.endpoints)]
    listeners = [static.to_pool(ALONE, ports[ALONE], [])]
    for key, (_, address, _) in servers.items():
        name = _stat_name(key)
        clusters.append(static.picker_cluster(name, address))
        listeners.append(static.to_pool(name, ports[key], [static.ext_proc(name, {})]))
    envoy = rig.keep(static.start_envoy("static", rig.directory, static.bootstrap(listeners, clusters), ports[ALONE]))
    admin = static.admin_file(rig.directory, "static")
    gateway, gateway_port, gateway_stats = rig.start_gateway(picker_address)
    return [
        Way(ALONE, "Envoy alone, no ext_proc", ports[ALONE], envoy),
        *(
            Way(key, title, ports[key], envoy, process, (admin, _stat_name(key)))
            for key, (process, _, title) in servers.items()
        ),
        Way(GATEWAY, f"our picker, {FORM}, our own Envoy", gateway_port, gateway, picker, gateway_stats),
    ]


def _stat_name(key: str) -> str:
    return key.replace(".", "-")
