"""The live state of one InferencePool: endpoints as columns, in-flight accounting, models, objectives and rewrites."""

from signalbox.pool.catalogue import Catalogue, HeldBack, Resolution, Unloaded
from signalbox.pool.charges import Charge, ScrapeMark
from signalbox.pool.columns import NEVER, Columns, Floats, Mask, Rows
from signalbox.pool.endpoints import ACTIVE_PORTS_ANNOTATION, PORT_ANNOTATION, Endpoint, join_address
from signalbox.pool.inventory import Inventory, Served
from signalbox.pool.left_out import LeftOut
from signalbox.pool.listings import ModelList
from signalbox.pool.pool import Pool
from signalbox.pool.precedence import Conflict
from signalbox.pool.readings import Readings
from signalbox.pool.rotation import Rotation
from signalbox.pool.split import STICKY_ANNOTATION

__all__ = [
    "ACTIVE_PORTS_ANNOTATION",
    "NEVER",
    "PORT_ANNOTATION",
    "STICKY_ANNOTATION",
    "Catalogue",
    "Charge",
    "Columns",
    "Conflict",
    "Endpoint",
    "Floats",
    "HeldBack",
    "Inventory",
    "LeftOut",
    "Mask",
    "ModelList",
    "Pool",
    "Readings",
    "Resolution",
    "Rotation",
    "Rows",
    "ScrapeMark",
    "Served",
    "Unloaded",
    "join_address",
]
