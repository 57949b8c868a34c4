"""What model servers say about themselves: a poller asks every endpoint of a pool for its metrics and records them.

``parse_metrics`` reads one page under the names an engine uses (``MetricNames``; ``ENGINES`` has vLLM, SGLang,
trtllm-serve and Triton's TensorRT-LLM, ``with_overrides`` takes a user's own), ``MetricsPoller`` does so for each
endpoint on its own, at an interval that keeps polling as a whole under half a core. ``ModelsPoller`` asks, slowly and
only where it matters, which models each server lists.
"""

from signalbox.signals.metric_names import ENGINES, VLLM, MetricNames, engine_for, with_overrides
from signalbox.signals.model_list import parse_models
from signalbox.signals.models import ModelsPoller
from signalbox.signals.parse import parse_metrics
from signalbox.signals.poller import MetricsPoller, ScrapedPool
from signalbox.signals.spec import InvalidMetricSpec, MetricSpec, parse_spec

__all__ = [
    "ENGINES",
    "VLLM",
    "InvalidMetricSpec",
    "MetricNames",
    "MetricSpec",
    "MetricsPoller",
    "ModelsPoller",
    "ScrapedPool",
    "engine_for",
    "parse_metrics",
    "parse_models",
    "parse_spec",
    "with_overrides",
]
