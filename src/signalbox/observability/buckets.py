"""The bucket sets of the Gateway API Inference Extension's histograms.

They are part of the compatibility surface: dashboards select buckets by their bounds, so even the reference's 32778
(meant to be 32768) is kept.
"""

from __future__ import annotations

SECONDS = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0,
    30.0, 45.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0, 480.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0,
)  # fmt: skip
"""Duration of a request and time to first token."""

REQUEST_BYTES = tuple(float(2**power) for power in range(6, 31))
"""64 bytes to 1 GiB."""

_COUNTS = (1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0)

RESPONSE_BYTES = (*_COUNTS, 16384.0, 32778.0, 65536.0)
INPUT_TOKENS = (*RESPONSE_BYTES, 131072.0, 262144.0, 524288.0, 1048576.0)
OUTPUT_TOKENS = _COUNTS

TPOT_SECONDS = (
    0.0005, 0.00205, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5,
    2.0, 3.0, 4.5, 6.0, 12.0, 18.0, 24.0, 30.0, 36.0, 48.0, 60.0, 90.0, 120.0, 180.0, 270.0, 360.0,
)  # fmt: skip
"""Time per output token after the first."""

NORMALIZED_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Duration of a request divided by its output tokens."""

SCHEDULER_SECONDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)


def bound_label(bound: float) -> str:
    """Return ``bound`` as Go's client writes it in ``le``: ``1``, not ``1.0``; ``1.048576e+06`` from a million on."""
    if 1e-4 <= abs(bound) < 1e6:
        return repr(bound).removesuffix(".0")
    for digits in range(17):
        text = f"{bound:.{digits}e}"
        if float(text) == bound:
            return text
    return repr(bound)
