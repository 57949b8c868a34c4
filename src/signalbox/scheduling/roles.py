"""The roles of disaggregated serving, as the label ``llm-d.ai/role`` gives them."""

from __future__ import annotations

ROLE_LABEL = "llm-d.ai/role"

DECODE = frozenset({"decode", "prefill-decode", "both", "encode-prefill-decode"})
PREFILL = frozenset({"prefill", "encode-prefill", "prefill-decode", "both", "encode-prefill-decode"})
ENCODE = frozenset({"encode", "encode-prefill", "encode-prefill-decode"})
"""The label values that take part in each stage."""
