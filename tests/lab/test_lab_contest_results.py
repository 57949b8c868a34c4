"""What came of the contest: ours against the best peer in each figure, never against the oracle."""

from __future__ import annotations

from dataclasses import replace

from signalbox.lab.contest_results import Result, against, cells, matches, side_by_side, summary, table, verdict


def result(policy: str, rate: float, ttft: float, variant: int = 4) -> Result:
    return Result("made", variant, policy, rate, 4.0, ttft, 0.03, 0.5, 0)


AHEAD = [result("least-cost", 11.0, 0.5), result("a", 10.0, 0.8), result("b", 8.0, 0.4), result("oracle", 20.0, 0.1)]
BEHIND = [result("a", 12.0, 0.8, 5), result("least-cost", 9.0, 0.6, 5), result("default", 0.0, 0.9, 5)]
LEVEL = [result("least-cost", 9.0, 0.6, 1), result("a", 9.0, 0.8, 1)]


def test_the_table_has_a_line_for_each_policy() -> None:
    lines = table([result("least-cost", 11.0, 0.5), result("random", 0.0, 9.0)]).splitlines()
    assert lines[-2:] == [
        "| least-cost | 11.00 | 0.500 |  | 30.0 | 50.0 |",
        "| random | below 4.00 | 9.000 |  | 30.0 | 50.0 |",
    ]


def test_the_table_tells_what_the_slowest_waited_and_how_many_sheddable_requests_were_answered() -> None:
    told = replace(result("least-cost", 11.0, 0.5), ttft_p99=3.25, sheddable=0.875)
    head, _, line, other = table([told, replace(told, policy="random", sheddable=0.0)]).splitlines()
    assert head.endswith("| prefix hits, % | sheddable answered, % |")
    assert line == "| least-cost | 11.00 | 0.500 | 3.25 | 30.0 | 50.0 | 88 |"
    assert other.endswith("| 0 |")


def test_ours_in_other_forms_are_no_peers() -> None:
    forms = [result(name, 99.0, 0.01) for name in ("least-cost-precise", "least-cost-scorer")]
    (match,) = matches([[*AHEAD, *forms]])
    assert (match.fastest.policy, match.soonest.policy) == ("a", "b")
    (match,) = matches([[*AHEAD, *forms]], "least-cost-scorer")
    assert (match.own.rate, match.fastest.policy) == (99.0, "a")


def test_results_are_grouped_by_scenario_and_variant() -> None:
    assert cells([*AHEAD, *BEHIND]) == [AHEAD, BEHIND]
    assert cells([]) == []


def test_the_summary_compares_with_the_best_peer_in_each_figure_and_never_with_the_oracle() -> None:
    line = summary([AHEAD]).splitlines()[-1]
    assert line == "| made | 4 | 11.00 | 10.00 (a) | 1.100 | 0.500 | 0.400 (b) | 1.250 | 0.550 |"


def test_a_peer_that_breaks_at_the_lowest_rate_is_beaten_by_more_than_can_be_said() -> None:
    line = summary([[result("least-cost", 11.0, 0.5), result("a", 0.0, 0.8)]]).splitlines()[-1]
    assert "| below 4.00 (a) | > 2.750 |" in line
    assert line.endswith("| 0.625 |")  # no oracle was anywhere


def test_ours_that_breaks_at_the_lowest_rate_is_not_said_to_be_ahead() -> None:
    broken = [result("a", 5.0, 0.5), result("least-cost", 0.0, 0.8)]
    assert "| below 4.00 | 5.00 (a) | 0.000 |" in summary([broken])


def test_where_ours_or_all_others_are_missing_there_is_nothing_to_compare() -> None:
    assert matches([[result("a", 1.0, 1.0)], [result("least-cost", 1.0, 1.0), result("oracle", 2.0, 0.5)], []]) == []


def test_the_verdict_counts_the_lines_and_names_every_one_that_is_not_won() -> None:
    words = verdict([AHEAD, BEHIND, LEVEL]).splitlines()
    assert words[0].startswith("`least-cost` bears more than every peer in 1 of 3 lines and as much as the best in 1; ")
    assert "earliest first tokens in 2." in words[0]
    assert words[2:] == [
        "- **made 4**: TTFT p90 0.500 s, b 0.400 s (1.250).",
        "- **made 5**: rate 9.00, a 12.00 (0.750).",
    ]


def test_against_one_policy_there_are_geometric_means_and_the_worst_lines() -> None:
    lines = against([[result("least-cost", 8.0, 0.4), result("default", 4.0, 0.4)], AHEAD, BEHIND], "default")
    assert lines.splitlines()[2:] == [
        "| made | 4 | 8.00 | 4.00 | 2.000 | 0.400 | 0.400 | 1.000 |",
        "| made | 5 | 9.00 | below 4.00 | > 2.250 | 0.600 | 0.900 | 0.667 |",
        "| geometric mean | | | | 2.121 | | | 0.816 |",
        "",
        "`least-cost` bears at least as much as `default` in 2 of 2 lines and has earlier first tokens in 1; "
        "at worst the ratio of rates is 2.000, and that of TTFT 1.000.",
    ]


def test_side_by_side_the_first_column_is_what_the_others_are_measured_by() -> None:
    group = [result("least-cost", 8.0, 0.4), result("least-cost:laterWeight=0", 4.0, 0.8)]
    lines = side_by_side([group], {"least-cost": "whole", "least-cost:laterWeight=0": "no later", "oracle": "oracle"})
    assert lines.splitlines()[0] == "| scenario | variant | whole | no later | oracle |"
    assert lines.splitlines()[2:] == [
        "| made | 4 | 8.00, 0.400 | 4.00, 0.800 |  |",
        "| geometric mean of ratios | | 1.000, 1.000 | 0.500, 2.000 |  |",
    ]
