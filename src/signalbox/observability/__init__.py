"""What a running picker shows to its operators.

`PickerMetrics` watches the director and counts under the metric names of the Gateway API Inference Extension;
`ReportedLoad` lets it read a pool, `FaultCollector` counts what is not as it should be,
`FlowCollector` how requests wait, `FairnessCollector` how fairly. `DecisionLog` keeps the latest
decisions, `DecisionPages` shows them. `MetricsServer` serves metrics, health and admin routes over HTTP;
`SourceCollector` shows how well an API server is followed, `TransportCollector` what connections
make the picker keep; `configure_logging` sets up structured logs.
"""

from signalbox.observability.decision_pages import DecisionPages
from signalbox.observability.decisions import DecisionLog
from signalbox.observability.fairness import FairnessCollector
from signalbox.observability.faults import FaultCollector
from signalbox.observability.flow import FlowCollector
from signalbox.observability.logs import LogFormat, configure_logging, level_of_verbosity
from signalbox.observability.metrics import PickerMetrics
from signalbox.observability.pool_view import PoolView, ReportedLoad, ServerLoad
from signalbox.observability.server import Denial, MetricsServer
from signalbox.observability.source_state import SourceCollector
from signalbox.observability.transport import TransportCollector

__all__ = [
    "DecisionLog",
    "DecisionPages",
    "Denial",
    "FairnessCollector",
    "FaultCollector",
    "FlowCollector",
    "LogFormat",
    "MetricsServer",
    "PickerMetrics",
    "PoolView",
    "ReportedLoad",
    "ServerLoad",
    "SourceCollector",
    "TransportCollector",
    "configure_logging",
    "level_of_verbosity",
]
