"""Envoy as the local gateway: its configuration from Gateways and HTTPRoutes, the files it watches, and the process.

``translate`` is a pure function from resources to Envoy's own; ``EnvoyFiles`` writes them where Envoy looks; ``Envoy``
runs the binary and says when a configuration is in force.
"""

from signalbox.gateway.envoy.bodyrouter import wanted as body_routing_wanted
from signalbox.gateway.envoy.files import EnvoyFiles
from signalbox.gateway.envoy.model import EnvoyConfig, Options, PoolBackend, ServiceBackend
from signalbox.gateway.envoy.process import ConfigRejected, Envoy, EnvoyError, find_envoy
from signalbox.gateway.envoy.translation import translate

__all__ = [
    "ConfigRejected",
    "Envoy",
    "EnvoyConfig",
    "EnvoyError",
    "EnvoyFiles",
    "Options",
    "PoolBackend",
    "ServiceBackend",
    "body_routing_wanted",
    "find_envoy",
    "translate",
]
