"""Decisions as people read them: aligned, in words, and nothing a client sent can upset the terminal."""

from __future__ import annotations

from typing import Any

import pytest
from tests.observability.deciding import SCORERS, Deciding, arrival, wall

from signalbox.cli.decision_tables import line_of, show_decision, show_list
from signalbox.cli.printing import plain
from signalbox.observability.decision_view import decision_summary
from signalbox.payloads import Usage
from signalbox.scheduling.scorers.queue import QueueScorer

Shown = pytest.CaptureFixture[str]


def lines(shown: Shown) -> list[str]:
    return [line.rstrip() for line in shown.readouterr().out.splitlines()]


def test_one_decision_has_a_head_and_two_tables(build_pool: Any, objects: Any, capsys: Shown) -> None:
    pool = build_pool((0, 0.5, set()), (4, 0.25, set()), resources=(objects.model("m", (("m-v2", 1),)),))
    made = Deciding(pool, SCORERS)
    ticket = made.route(arrival(objective="batch"), 1.0)
    made.director.first_byte(ticket, 1.25)
    made.end(ticket, 3.0, usage=Usage(50, 11, 48))
    view = made.view()
    tokens = view["prompt_tokens"]
    show_decision(view)
    assert lines(capsys) == [
        "request    r-1",
        "time       1970-01-01T00:00:01.000Z",
        "model      m -> m-v2",
        "priority   0, objective batch",
        "endpoint   pod-0 (192.168.1.1:8000)",
        "fallbacks  pod-1",
        f"prompt     about {tokens} tokens, streamed",
        "decided    in 1000000 us over 2 candidates",
        "ended      200 complete, first token 0.250 s, 2.000 s, 50 (48 cached) + 11 tokens",
        f"why        pod-0 won: highest total 2, prefix 0 of {tokens} tokens; next pod-1 0",
        "",
        "step                 before  after  left out",
        "reachable                 2      2",
        "queue-scorer              2      2",
        "prefix-cache-scorer       2      2",
        "max-score-picker          2      2",
        "",
        "endpoint  queue  in flight  KV use  prefix tokens  queue-scorer  prefix-cache-scorer  total",
        "pod-0         0          0     50%              0         2.000                0.000  2.000  chosen",
        "pod-1         4          0     25%              0         0.000                0.000  0.000  fallback 1",
        "",
    ]


def test_who_was_left_out_is_named_in_both_tables(build_pool: Any, capsys: Shown) -> None:
    made = Deciding(build_pool((0, 0, set()), (50, 0, set())))
    made.route(arrival())
    show_decision(made.view())
    shown = lines(capsys)
    assert "has-capacity           2      1  pod-1" in shown
    assert shown[-2] == "pod-1        50          0      0%  fallback 1, left out by has-capacity"


def test_a_plugin_that_failed_is_said_with_what_it_raised(
    build_pool: Any, capsys: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Any:
        raise RuntimeError("no [bold] table")

    monkeypatch.setattr(QueueScorer, "score_few", fail)
    made = Deciding(build_pool((0, 0, set()), (9, 0, set())), SCORERS)
    made.route(arrival())
    show_decision(made.view())
    out = " ".join(capsys.readouterr().out.split())
    assert "queue-scorer 2 2 nobody, for it failed: RuntimeError: no [bold] table" in out
    assert "prefix-cache-scorer 2 2 max-score-picker" in out


def test_a_fallback_that_served_is_said(build_pool: Any, capsys: Shown) -> None:
    made = Deciding(build_pool((0, 0, set()), (5, 0, set())))
    ticket = made.route(arrival())
    made.director.served(ticket, "192.168.1.2:8000")
    show_decision(made.view())
    show_list([made.view()])
    shown = lines(capsys)
    assert "served by  pod-1, a fallback" in shown
    assert shown[-1].split()[3] == "pod-1"


@pytest.mark.parametrize(
    ("tpot", "expected"),
    [
        (0.0314, "expected  the first token after 0.512 s, 31.4 ms for each further one"),
        (None, "expected  the first token after 0.512 s"),
    ],
)
def test_what_was_expected_of_the_choice_is_said(
    build_pool: Any, capsys: Shown, tpot: float | None, expected: str
) -> None:
    made = Deciding(build_pool((0, 0, set())))
    made.route(arrival())
    view = made.view()
    show_decision(view)
    assert not any(line.startswith("expected") for line in lines(capsys)), "nobody predicted anything"
    show_decision({**view, "predicted": {"ttft_seconds": 0.512, "tpot_seconds": tpot}})
    assert expected in lines(capsys)


def test_steps_name_their_profile_where_there_are_several(build_pool: Any, capsys: Shown) -> None:
    made = Deciding(build_pool((0, 0, set())))
    made.route(arrival())
    view = made.view()
    show_decision(view)
    assert not any(line.startswith("profile") for line in lines(capsys)), "there is one"
    view["steps"].append({**view["steps"][0], "profile": "prefill"})
    show_decision(view)
    shown = lines(capsys)
    assert [line.split()[:2] for line in shown if line.startswith(("profile", "prefill"))] == [
        ["profile", "step"],
        ["prefill", view["steps"][0]["plugin"]],
    ]


def test_a_refusal_has_its_measurement(build_pool: Any, objects: Any, capsys: Shown) -> None:
    text = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: [{type: concurrency-detector}]\n"
    pool = build_pool((0, 0, set()), resources=(objects.objective("batch", -1),))
    made = Deciding(pool, text + "saturationDetector: {pluginRef: concurrency-detector}\n")
    pool.columns.inflight[pool.rows] = 150.0
    made.refuse(arrival(objective="batch"))
    show_decision(made.view())
    shown = lines(capsys)
    assert "refused     429 InferencePoolResourceExhausted" in shown
    assert "saturation  150%, measured by concurrency-detector" in shown


def test_the_list_is_aligned(build_pool: Any, capsys: Shown) -> None:
    made = Deciding(build_pool((0, 0, set()), (5, 0, set())))
    made.end(made.route(arrival("a-rather-long-request-id")), 2.0)
    made.refuse(arrival("r-2", model=""))
    show_list([made.view("a-rather-long-request-id"), made.view("r-2")])
    head, routed, refused = lines(capsys)
    for column, first, second in (
        ("request", "a-rather-long-request-id", "r-2"),
        ("to", "pod-0", "400 BadRequest"),
        ("ended", "200 complete, 2.000 s", "-"),
    ):
        at = head.index(column)
        assert routed[at:].startswith(first)
        assert refused[at:].startswith(second)


def test_a_followed_decision_is_a_line_and_its_end_another(build_pool: Any) -> None:
    made = Deciding(build_pool((0, 0, set())))
    ticket = made.route(arrival(), 1.0)
    (entry,) = made.log
    assert line_of(decision_summary(entry, wall)) == "00:00:01.000  r-1  m  pod-0  pod-0 won: it was the only candidate"
    made.end(ticket, 3.0)
    assert line_of(decision_summary(entry, wall)) == "00:00:01.000  r-1  ended on pod-0: 200 complete, 2.000 s"


@pytest.mark.parametrize("text", ["[red]x[/red]", "\x1b[2J", "a\nb", "\u202e", "\x00"])
def test_what_clients_send_is_shown_and_not_obeyed(build_pool: Any, capsys: Shown, text: str) -> None:
    made = Deciding(build_pool((0, 0, set())))
    made.route(arrival(text, model=text))
    show_decision(made.view(text))
    show_list([made.view(text)])
    print(line_of(made.view(text)))
    shown = capsys.readouterr().out
    assert shown.count(plain(text).plain) >= 3
    assert not set(shown) & {"\x1b", "\u202e", "\x00"}
    assert plain(text).plain.isprintable()


def test_a_line_of_a_request_that_waited_says_how_long(build_pool: Any, capsys: Shown) -> None:
    made = Deciding(build_pool((0, 0, set())))
    made.route(arrival())
    waited = made.view() | {"wait": {"seconds": 4.6481}}
    assert "  waited 4.648 s; pod-0 won" in line_of(waited)
    assert "waited" not in line_of(made.view())
    show_list([waited])
    assert "waited 4.648 s; pod-0 won" in capsys.readouterr().out
