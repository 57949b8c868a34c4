"""Answers within stated times: what predictions are for, in virtual time."""

from __future__ import annotations

from pathlib import Path

import pytest

from signalbox.lab.objectives import OBJECTIVE, POLICIES, kept
from signalbox.lab.predictions import GPUS, mixed_lengths
from signalbox.lab.servers import server
from signalbox.scheduling import load_policy

MOST = "`latency-scorer`, strategy `most`"
EXAMPLE = Path(__file__).parents[2] / "examples/scheduling/predicted-latency.yaml"


@pytest.fixture(scope="module")
def shares() -> dict[str, float]:
    """Which part each policy keeps, of two minutes of traffic to one server of each kind."""
    servers, load = [server(gpu) for gpu in GPUS], mixed_lengths(10.0, 120.0)
    policies = {**POLICIES, "example": EXAMPLE.read_text()}
    return {name: kept(load, servers, text, OBJECTIVE) for name, text in policies.items()}


def test_with_the_most_headroom_nearly_all_come_in_time(shares: dict[str, float]) -> None:
    assert shares[MOST] > 0.97
    assert shares["example"] > 0.95


def test_that_is_better_than_without_predictions_and_than_filling_up_to_the_objective(shares: dict[str, float]) -> None:
    assert shares[MOST] > shares["the default scorers"] + 0.03
    assert shares["the default scorers"] > shares["`latency-scorer`"], "as the page says"


def test_an_objective_nobody_can_keep_is_kept_by_nobody() -> None:
    strict = type(OBJECTIVE)(ttft=1e-6, tpot=1.0)
    assert kept(mixed_lengths(4.0, 30.0), [server(GPUS[0])], POLICIES[MOST], strict) == 0.0


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_of_the_table_has_parameters_that_count(name: str) -> None:
    assert load_policy(POLICIES[name], name="x").notes == ()
