"""What a running picker shows to its operators.

`PickerMetrics` watches the director and counts under the metric names of the Gateway API Inference Extension;
`ReportedLoad` lets it read a pool. `MetricsServer` serves metrics, health and admin routes over HTTP;
`configure_logging` sets up structured logs.
"""

from signalbox.observability.logs import LogFormat, configure_logging, level_of_verbosity
from signalbox.observability.metrics import PickerMetrics
from signalbox.observability.pool_view import PoolView, ReportedLoad, ServerLoad
from signalbox.observability.server import MetricsServer

__all__ = [
    "LogFormat",
    "MetricsServer",
    "PickerMetrics",
    "PoolView",
    "ReportedLoad",
    "ServerLoad",
    "configure_logging",
    "level_of_verbosity",
]
