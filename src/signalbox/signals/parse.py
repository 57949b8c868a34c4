"""From a page of metrics to readings."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from signalbox.pool.readings import Readings
from signalbox.signals.exposition import Sample, labels_of, samples
from signalbox.signals.metric_names import VLLM, MetricNames
from signalbox.signals.spec import MetricSpec

_Page = Mapping[bytes, Sequence[Sample]]
# The ranks of one tensor- or pipeline-parallel group report the same requests; data-parallel ranks do not.
_PARALLEL_RANK = re.compile(rb'(?:tp|pp|moe_ep)_rank="[^"]*",?')


def parse_metrics(text: bytes | str, engine: MetricNames = VLLM) -> Readings:
    """Read one page of Prometheus text; what the page does not report, or reports as no number, is ``None``.

    Requests are summed over the engines of a server (data-parallel ranks), KV usage is that of the fullest one.
    Never raises.
    """
    page = samples(text.encode(errors="replace") if isinstance(text, str) else text, engine.families, engine.beginnings)
    block_size, kv_blocks = _cache(page, engine)
    active, at_once = _lora(page, engine.lora_info)
    waiting, running = _values(page, engine.waiting), _values(page, engine.running)
    usage = _values(page, engine.kv_usage)
    limit = _values(page, engine.lora_max)
    offloaded = _values(page, engine.offload_tokens)
    return Readings(
        waiting=sum(waiting) if waiting else None,
        running=sum(running) if running else None,
        kv_usage=min(1.0, max(usage)) if usage else None,
        block_size=block_size,
        kv_blocks=kv_blocks,
        lora_active=active,
        lora_max=at_once if at_once is not None or not limit else int(max(limit)),
        lora_resident=_resident(page, engine.lora_loaded),
        offload_tokens=int(sum(offloaded)) if offloaded else None,
    )


def _matching(page: _Page, specs: Iterable[MetricSpec]) -> tuple[MetricSpec, list[Sample]] | None:
    """The samples of the first alternative the page has."""
    for spec in specs:
        family = page.get(spec.name.encode())
        if family is None:
            continue
        if spec.labels:
            wanted = spec.labels
            family = [sample for sample in family if set(wanted) <= labels_of(sample.raw_labels).items()]
            if not family:
                continue
        return spec, list(family)
    return None


def _values(page: _Page, specs: Sequence[MetricSpec]) -> list[float]:
    """One value for each engine, from the first alternative with a usable one: finite and not negative."""
    for spec in specs:
        matching = _matching(page, (spec,))
        newest: dict[bytes, Sample] = {}
        for sample in matching[1] if matching else ():
            known = newest.get(sample.raw_labels)
            if math.isfinite(sample.value) and sample.value >= 0 and (not known or sample.timestamp >= known.timestamp):
                newest[sample.raw_labels] = sample
        if newest:
            groups: dict[bytes, float] = {}
            for raw, sample in newest.items():
                group = _PARALLEL_RANK.sub(b"", raw).rstrip(b",") if b"p_rank" in raw else raw
                groups[group] = max(groups.get(group, 0.0), sample.value)
            return list(groups.values())
    return []


def _whole(value: str | float | None) -> int | None:
    """A positive whole number, or ``None``: engines write "None" into a label they do not know yet."""
    try:
        number = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return int(number) if math.isfinite(number) and number >= 1 and number == int(number) else None


def _cache(page: _Page, engine: MetricNames) -> tuple[int | None, int | None]:
    """Block size in tokens and number of blocks, summed over engines: from labels, else from plain gauges."""
    matching = _matching(page, engine.cache_info)
    rows = [labels_of(sample.raw_labels) for sample in matching[1]] if matching else []
    sizes = [size for row in rows if (size := _whole(row.get(engine.block_size_label)))]
    blocks = [count for row in rows if (count := _whole(row.get(engine.kv_blocks_label)))]
    if not sizes:
        sizes = [size for value in _values(page, engine.block_size) if (size := _whole(value))]
    if not blocks:
        blocks = [count for value in _values(page, engine.kv_blocks) if (count := _whole(value))]
    return max(sizes, default=None), sum(blocks) if blocks else None


def _names(listed: str) -> Iterator[str]:
    return (name for part in listed.split(",") if (name := part.strip()))


def _lora(page: _Page, specs: Sequence[MetricSpec]) -> tuple[frozenset[str] | None, int | None]:
    """Adapters in flight and how many a batch may hold, from the newest of the series a server leaves behind.

    The value of a series is when it was written, and the newest wins. Some servers write whole seconds: of several
    series with the newest value none is known to be the last, so their names are united. "running" and "waiting"
    list the same names in current vLLM, hence the set. A family without series has no adapter in flight.
    """
    matching = _matching(page, specs)
    if matching is None:
        return None, None
    dated = [sample for sample in matching[1] if math.isfinite(sample.value)]
    if not dated:
        return (frozenset(), None) if not matching[1] else (None, None)
    newest = max(sample.value for sample in dated)
    rows = [labels_of(sample.raw_labels) for sample in dated if sample.value == newest]
    listed = (row.get(key, "") for row in rows for key in ("running_lora_adapters", "waiting_lora_adapters"))
    active = frozenset(name for names in listed for name in _names(names))
    return active, max((most for row in rows if (most := _whole(row.get("max_lora")))), default=None)


def _resident(page: _Page, specs: Sequence[MetricSpec]) -> frozenset[str] | None:
    """Adapters in GPU memory: those a request needs no loading for. A series without a level counts as such."""
    matching = _matching(page, specs)
    if matching is None:
        return None
    rows = (labels_of(sample.raw_labels) for sample in matching[1] if sample.value > 0)
    return frozenset(
        row["adapter_name"] for row in rows if row.get("adapter_name") and row.get("level", "gpu") == "gpu"
    )
