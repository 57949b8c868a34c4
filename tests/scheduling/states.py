"""Any state of a pool and any request, for properties that hold in all of them."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import strategies as st

from signalbox.pool import Columns, Endpoint, Floats, Rows
from signalbox.scheduling import Cycle
from signalbox.scheduling.latency import Predictions
from signalbox.scheduling.prefix.match import PrefixMatch

PINNED = {"test-epp-endpoint-selection": "10.0.0.3:8000, 10.0.0.0, 10.0.0.2", "zone": "b"}


@st.composite
def cycles(draw: st.DrawFn) -> tuple[Cycle, Rows]:
    """Any state of a pool that its own accounting can reach, a little of what it cannot, and any request."""
    count = draw(st.integers(1, 12))
    columns = Columns()
    while columns.size < count:
        columns.grow()
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    for name, high in (("waiting", 300), ("running", 300), ("inflight", 300), ("inflight_mark", 300), ("lora_max", 3)):
        getattr(columns, name)[:] = rng.integers(0, draw(st.sampled_from([1, 5, high])), columns.size)
    columns.kv_usage[:] = rng.random(columns.size) * 1.3
    columns.inflight_tokens[:] = rng.integers(-5, 10**7, columns.size)
    columns.failed_scrapes[:] = rng.integers(0, 5, columns.size)
    columns.failing = int((columns.failed_scrapes > 0).sum())
    columns.scraped_at[:] = np.where(rng.random(columns.size) < 0.5, 0.0, -np.inf)
    for row in range(count):
        columns.set_adapters(row, frozenset(["m"] if rng.random() < 0.3 else ["x", "y"][: int(rng.integers(0, 3))]))
    ranges = ["0-100", "50-50", "90-4000", "", "7-"]
    roles = ["", "decode", "prefill", "both"]
    endpoints = {
        row: Endpoint(f"p{row}", "default", f"p{row}", f"10.0.0.{row}", 8000, row,
                      {"llm-d.ai/context-length-range": ranges[row % 5], "zone": "ab"[row % 2],
                       "topology.kubernetes.io/rack": str(row // 3),
                       **({"llm-d.ai/role": roles[row % 4]} if row % 4 else {})})
        for row in range(count)
    }  # fmt: skip
    total = draw(st.integers(0, 20))
    blocks: Floats = np.minimum(rng.integers(0, 25, columns.size), total).astype(float)
    prefix = draw(st.sampled_from([None, PrefixMatch(blocks, total, 16, total * 16)]))
    expected = Predictions(
        "predicted-latency-producer",
        0.0,
        *[rng.random(columns.size) for _ in range(2)],
        *[rng.integers(-2, 3, columns.size) / 2 for _ in range(2)],
    )
    cycle = Cycle(
        "m",
        draw(st.integers(-1, 1)),
        columns,
        random.Random(draw(st.integers(0, 9))),
        endpoints=endpoints,
        headers=draw(st.sampled_from([{}, {"zone": "a", "x-session-token": "ZGVmYXVsdC9wMA=="}, PINNED])),
        prompt_tokens=total * 16,
        prefix=prefix,
        slo_ttft=draw(st.sampled_from([None, 0.5])),
        media=draw(st.sampled_from([(), (1, 2, 3)])),
        peer=draw(st.sampled_from([None, 0])),
        predictions=draw(st.sampled_from([None, expected])),
    )
    return cycle, np.arange(count)
