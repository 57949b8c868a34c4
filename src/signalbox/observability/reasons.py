"""Why an endpoint was chosen, in one sentence."""

from __future__ import annotations

import numpy as np

from signalbox.observability.candidates import Candidates, position
from signalbox.observability.decisions import Record
from signalbox.scheduling import Ranking


def reason_for(record: Record, candidates: Candidates) -> str:
    """Say what set the chosen endpoint apart from the others."""
    decision = record.decision
    name = candidates.names(decision.rows[0])
    if record.rows is None:
        return f"{name} won; its scores were not kept (pools over 128 endpoints keep those of some decisions only)"
    if record.candidates == 1:
        return f"{name} won: it was the only candidate"
    ranking = next((ranking for ranking in decision.scores if ranking.profile == decision.profile), None)
    if ranking is not None:
        place = position(ranking.rows, decision.rows[0])
        if place is not None:
            return _by_score(record, candidates, ranking, place)
    return _by_filters(record, candidates)


def _by_score(record: Record, candidates: Candidates, ranking: Ranking, place: int) -> str:
    chosen = record.decision.rows[0]
    name, held = candidates.names(chosen), _held(record, candidates, chosen)
    totals = ranking.totals
    count, own = len(totals), float(totals[place])
    if count == 1:
        return f"{name} won: the only one that the filters left{held}"
    best = float(totals.max())
    if own < best:
        other = candidates.names(int(ranking.rows[int(totals.argmax())]))
        return f"{name} was picked by {_picker(record)} with a total of {own:.4g}{held}; highest {other} {best:.4g}"
    equal = int(np.count_nonzero(totals == best))
    if equal > 1:
        return f"{name} won: picked by {_picker(record)} among the {equal} with the highest total, {own:.4g}{held}"
    rest = np.delete(np.arange(count), place)
    second = int(rest[int(totals[rest].argmax())])
    following = candidates.names(int(ranking.rows[second]))
    return f"{name} won: highest total {own:.4g}{held}; next {following} {float(totals[second]):.4g}"


def _by_filters(record: Record, candidates: Candidates) -> str:
    """Without scores, filters decide, and among those they leave the picker."""
    chosen = record.decision.rows[0]
    name = candidates.names(chosen)
    narrowing = [step for step in record.decision.steps if step.rows is not None and 0 < step.after < step.before]
    left = record.candidates
    if narrowing:
        left = min(step.after for step in narrowing)
    if left == 1:
        last = next(step.plugin for step in narrowing if step.after == 1)
        return f"{name} won: {last} left nobody else{_held(record, candidates, chosen)}"
    own = candidates.in_flight(chosen)
    having = f"; {own} of our requests were in flight there" if own is not None else ""
    among = f"the {left} that the filters left" if narrowing else f"{left} that no filter told apart"
    return f"{name} won: picked by {_picker(record)} among {among}{having}"


def _picker(record: Record) -> str:
    """What picked the destination: the first pick of its profile, since a later one adds fallbacks."""
    decision = record.decision
    step = next((step for step in decision.steps if step.ends == decision.profile), None)
    if step is None:
        return "the picker"
    return f"the fewest requests in flight, for {step.plugin} failed," if step.fault else step.plugin


def _held(record: Record, candidates: Candidates, row: int) -> str:
    tokens = candidates.prefix_tokens(row)
    if record.match is None or tokens is None:
        return ""
    return f", prefix {tokens:,} of {record.match.tokens:,} tokens"
