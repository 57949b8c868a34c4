"""The guide release's environment variables."""

from __future__ import annotations

from collections.abc import Mapping

from signalbox.scheduling import GuideThresholds

_FIELDS = {
    "KV_CACHE_THRESHOLD": ("kv_cache", 1.0),
    "QUEUE_THRESHOLD_CRITICAL": ("queue", float("inf")),
    "QUEUING_THRESHOLD_LORA": ("queue_lora", float("inf")),
    "LORA_AFFINITY_THRESHOLD": ("lora_affinity", 1.0),
}


def read_thresholds(environment: Mapping[str, str]) -> GuideThresholds:
    """Read the four thresholds; those not set keep the guide's defaults.

    Raises:
        ValueError: a value is not a number, or outside 0 to its maximum; the message names the variable.
    """
    values = {}
    for variable, (field, maximum) in _FIELDS.items():
        text = environment.get(variable)
        if text is None or not text.strip():
            continue
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"environment variable {variable}: {text!r} is not a number") from None
        if not 0 <= value <= maximum:
            raise ValueError(f"environment variable {variable}: {text} is outside 0 to {maximum:g}")
        values[field] = value
    return GuideThresholds(**values)


def read_streaming(environment: Mapping[str, str]) -> bool:
    """Read USE_STREAMING, by default true.

    Raises:
        ValueError: a value that is neither true nor false.
    """
    text = environment.get("USE_STREAMING", "true").strip().lower()
    if text in ("1", "t", "true", ""):
        return True
    if text in ("0", "f", "false"):
        return False
    raise ValueError(f"environment variable USE_STREAMING: {text!r} is neither true nor false")
