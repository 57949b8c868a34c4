"""Body-based routing: the ``model`` of a request's body becomes a header, so that a gateway can route by it.

A gateway chooses a route before it has read the body. `router_routes` is an ext_proc service it asks first, which sets
`MODEL_HEADER` to the body's ``model`` and `BASE_MODEL_HEADER` to the base model behind it (`BaseModels`, from
ConfigMaps), and has the route chosen again. Behind it each pool's picker is asked as always.
"""

from signalbox.bbr.base_models import MANAGED_LABEL, BaseModels
from signalbox.bbr.cluster_models import ClusterModels
from signalbox.bbr.directory import ModelDirectory
from signalbox.bbr.exchange import BASE_MODEL_HEADER, MODEL_HEADER, BodyTerms, router_routes
from signalbox.bbr.metrics import RouterMetrics

__all__ = [
    "BASE_MODEL_HEADER",
    "MANAGED_LABEL",
    "MODEL_HEADER",
    "BaseModels",
    "BodyTerms",
    "ClusterModels",
    "ModelDirectory",
    "RouterMetrics",
    "router_routes",
]
