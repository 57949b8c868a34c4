"""The live state of one InferencePool: endpoints as columns, in-flight accounting, models, objectives and rewrites."""

from signalbox.pool.catalogue import PRIORITY, Catalogue, Conflict, Resolution
from signalbox.pool.columns import NEVER, Columns, Floats, Mask, Rows
from signalbox.pool.endpoints import PORT_ANNOTATION, Endpoint, join_address
from signalbox.pool.pool import Charge, Pool, ScrapeMark
from signalbox.pool.readings import Readings
from signalbox.pool.rotation import Rotation

__all__ = [
    "NEVER",
    "PORT_ANNOTATION",
    "PRIORITY",
    "Catalogue",
    "Charge",
    "Columns",
    "Conflict",
    "Endpoint",
    "Floats",
    "Mask",
    "Pool",
    "Readings",
    "Resolution",
    "Rotation",
    "Rows",
    "ScrapeMark",
    "join_address",
]
