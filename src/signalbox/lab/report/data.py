"""Results for programs. Nothing in them depends on the machine or the day: the same rehearsal gives the same bytes."""

from __future__ import annotations

import csv
import io
from typing import Any

import msgspec
import numpy as np

from signalbox.lab.figures import Figure
from signalbox.lab.ladder import Ladder
from signalbox.lab.outcome import COMPLETE, REFUSED, TOO_LARGE
from signalbox.lab.rehearsal import Rehearsal, Result
from signalbox.lab.servers import Server
from signalbox.lab.slo import deciding

_ENDED = {COMPLETE: "complete", REFUSED: "refused", TOO_LARGE: "too large"}
_DIGITS = 6


def as_json(rehearsal: Rehearsal) -> bytes:
    """What was rehearsed, and every figure with its interval. Times in seconds, shares from 0 to 1; NaN and what
    is infinite, such as the wait of who got no answer, as null. ``whole`` is false for a run that was stopped."""
    plan = rehearsal.plan
    document = {
        "workload": {
            "name": plan.workload.name,
            "requests": len(plan.workload.requests),
            "seconds": plan.workload.seconds,
            "rate": plan.workload.rate,
            "speed": plan.speed,
            "notes": plan.workload.notes,
        },
        "servers": [_server(server) for server in plan.servers],
        "scraping": msgspec.to_builtins(plan.scraping),
        "slo": msgspec.to_builtins(plan.slo),
        "seed": plan.seed,
        "whole": rehearsal.whole,
        "policies": [_policy(result) for result in rehearsal.results],
        "ladders": [_ladder(ladder) for ladder in rehearsal.ladders],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _server(server: Server) -> dict[str, Any]:
    return {
        "engine": server.profile.name,
        "kv_blocks": server.config.num_gpu_blocks,
        "block_size": server.config.block_size,
        "max_num_seqs": server.config.max_num_seqs,
        "max_num_batched_tokens": server.config.max_num_batched_tokens,
        "joins": server.joins,
        "leaves": server.leaves,
    }


def _policy(result: Result) -> dict[str, Any]:
    return {
        "name": result.policy,
        "figures": {name: _figure(figure) for name, figure in result.figures.items()},
        "requests_by_server": np.bincount(
            result.outcome.server[result.outcome.server >= 0], minlength=result.outcome.servers
        ).tolist(),
    }


def _figure(figure: Figure) -> dict[str, float]:
    return {"value": figure.value, "low": figure.low, "high": figure.high}


def _ladder(ladder: Ladder) -> dict[str, Any]:
    return {
        "policy": ladder.policy,
        "sustained": None if ladder.best is None else ladder.best.rate,
        "rungs": [
            {
                "speed": rung.speed,
                "rate": rung.rate,
                "held": rung.held,
                "ttft_p90": deciding(rung.outcome)[0],
                "tpot_p90": deciding(rung.outcome)[1],
                "broken_by": ladder.slo.broken_by(rung.outcome),
            }
            for rung in ladder.rungs
        ],
    }


def request_lines(rehearsal: Rehearsal) -> str:
    """CSV with a line for each request under each policy. Times in seconds, empty where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            "policy",
            "request",
            "arrival",
            "server",
            "outcome",
            "ttft",
            "tpot",
            "e2e",
            "held",
            "queue",
            "prompt_tokens",
            "output_tokens",
            "cached_tokens",
            "priority",
            "preemptions",
        ]
    )
    for result in rehearsal.results:
        outcome = result.outcome
        columns = [
            [_time(value) for value in outcome.arrival],
            ["" if server < 0 else f"server-{server}" for server in outcome.server],
            [_ENDED[int(ended)] for ended in outcome.ended],
            *[
                [_time(value) for value in times]
                for times in (outcome.ttft, outcome.tpot, outcome.e2e, outcome.held, outcome.queue)
            ],
            *[
                numbers.tolist()
                for numbers in (outcome.prompt, outcome.output, outcome.cached, outcome.priority, outcome.preempted)
            ],
        ]
        for number, values in enumerate(zip(*columns, strict=True)):
            writer.writerow((result.policy, number, *values))
    return text.getvalue()


def _time(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.{_DIGITS}f}".rstrip("0").rstrip(".")
