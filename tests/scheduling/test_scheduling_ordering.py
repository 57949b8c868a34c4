"""Which request of a flow goes first."""

from __future__ import annotations

import math

import pytest

from signalbox.scheduling.ordering import EarliestDeadlineFirst, FirstComeFirstServed, ShortPromptsFirst, SLODeadline
from signalbox.scheduling.ordering.short_prompts_first import ShortPromptsFirstParameters
from signalbox.scheduling.queueing import Flow, OrderingPlugin, Turn

FLOW = Flow("a", 0)


@pytest.mark.parametrize(
    ("policy", "turn", "key"),
    [
        (FirstComeFirstServed(), Turn(FLOW, 1, 5.0, 0.1, 60.0), 5.0),
        (EarliestDeadlineFirst(), Turn(FLOW, 1, 5.0, 0.1, 60.0), 65.0),
        (EarliestDeadlineFirst(), Turn(FLOW, 1, 5.0, 0.1, None), math.inf),
        (SLODeadline(), Turn(FLOW, 1, 5.0, 0.5, 60.0), 5.5),
        (SLODeadline(), Turn(FLOW, 1, 5.0, 0.0, 60.0), 5.0),
        (SLODeadline(), Turn(FLOW, 1, 5.0, None, 60.0), math.inf),
        (ShortPromptsFirst(), Turn(FLOW, 1, 5.0, prompt_tokens=0.0), 5.0),
        (ShortPromptsFirst(), Turn(FLOW, 1, 5.0, prompt_tokens=10_000.0), pytest.approx(11.6)),
        (ShortPromptsFirst(ShortPromptsFirstParameters(ms_per_token=0.0)), Turn(FLOW, 1, 5.0, prompt_tokens=9.0), 5.0),
    ],
)
def test_it_sorts_by(policy: OrderingPlugin, turn: Turn, key: float) -> None:  # type: ignore[type-arg]
    assert policy.key(turn) == key


def test_turns_are_never_equal() -> None:
    assert Turn(FLOW, 1, 5.0) != Turn(FLOW, 1, 5.0)
    assert Flow("a", 0) == FLOW
    assert len({Flow("a", 0), FLOW, Flow("a", 1), Flow("", 0)}) == 3
