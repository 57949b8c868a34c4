"""Which metrics of the model servers are read, from a picker's options."""

from __future__ import annotations

from collections.abc import Mapping

from signalbox.cli.epp_options import EppOptions
from signalbox.signals import ENGINES, MetricNames, with_overrides


def engines(options: EppOptions) -> Mapping[str, MetricNames]:
    """Return the metric names by engine; those given on the command line are for pods that name no other engine.

    Raises:
        InvalidMetricSpec: a metric cannot be read; the message names the flag.
    """
    vllm = with_overrides(
        ENGINES["vllm"],
        waiting=options.queue_metric,
        kv_usage=options.kv_usage_metric,
        lora_info=options.lora_metric,
    )
    return {**ENGINES, "vllm": vllm}
