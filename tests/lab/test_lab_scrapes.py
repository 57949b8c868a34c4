from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.engine import PROFILES, Engine, EngineConfig, Request
from signalbox.lab.scrapes import BEGIN, FAIL, READ, RECORD, Moment, ScrapeTimes, Scraping
from signalbox.lab.servers import read

SCRAPINGS = st.builds(
    Scraping,
    interval=st.floats(0.02, 2.0),
    delay=st.floats(0, 0.5),
    jitter=st.sampled_from([0.0, 0.1]),
    loss=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
)


def told(scraping: Scraping, looks: list[float], *, every: bool) -> list[list[Moment]]:
    """What is told at each look."""
    times = ScrapeTimes(scraping, 0, 0.0, 7)
    return [list(times.moments(look, every=every)) for look in looks]


def test_a_scrape_begins_is_read_halfway_and_is_known_after_its_delay() -> None:
    moments = told(Scraping(interval=1.0, delay=0.5), [100.0], every=True)[0]
    assert [moment.what for moment in moments[:6]] == [BEGIN, READ, RECORD] * 2
    first, second = moments[:3], moments[3:6]
    assert [moment.time - first[0].time for moment in first] == pytest.approx([0.0, 0.25, 0.5])
    assert second[0].time - first[0].time == pytest.approx(1.0)


def test_a_server_is_not_asked_again_before_it_has_answered() -> None:
    (moments,) = told(Scraping(interval=0.1, delay=0.5, jitter=0.2), [50.0], every=True)
    assert [moment.time for moment in moments] == sorted(moment.time for moment in moments)
    assert len(moments) // 3 == pytest.approx(50.0 / 0.7, abs=2)


def test_servers_are_asked_at_different_moments() -> None:
    first = [next(iter(ScrapeTimes(Scraping(), server, 0.0, 0).moments(1.0, every=True))).time for server in range(8)]
    assert len(set(first)) == 8
    assert all(0 <= time <= 0.05 for time in first)


@pytest.mark.parametrize("loss", [0.0, 0.3, 0.9, 1.0])
def test_about_the_share_that_is_to_fail_fails(loss: float) -> None:
    (moments,) = told(Scraping(interval=0.1, loss=loss), [200.0], every=True)
    ends = [moment for moment in moments if moment.what in (RECORD, FAIL)]
    failed = sum(moment.what == FAIL for moment in ends) / len(ends)
    assert failed == pytest.approx(loss, abs=0.03)


@given(SCRAPINGS, st.lists(st.floats(0, 20), min_size=1, max_size=30))
def test_what_is_left_out_makes_no_difference_at_any_look(scraping: Scraping, looks: list[float]) -> None:
    """After each look the picker knows the same reading, taken from the same mark, with the same failures since."""
    looks = sorted(looks)
    known = []
    for every in (True, False):
        batches = told(scraping, looks, every=every)
        assert all(moment.time <= look for batch, look in zip(batches, looks, strict=True) for moment in batch)
        began: dict[int, float] = {}
        read: dict[int, float] = {}
        state: list[tuple[float, float, float, int] | None] = []
        last: tuple[float, float, float, int] | None = None
        for batch in batches:
            for moment in batch:
                if moment.what == BEGIN:
                    began[moment.number] = moment.time
                elif moment.what == READ:
                    read[moment.number] = moment.time
                elif moment.what == RECORD:
                    last = (began[moment.number], read[moment.number], moment.time, 0)
                elif last is not None:
                    last = (*last[:3], last[3] + 1)
            state.append(last)
        known.append(state)
    assert known[0] == known[1]


def test_looking_often_tells_nothing_twice() -> None:
    scraping = Scraping(interval=0.3, delay=0.1)
    (once,) = told(scraping, [30.0], every=True)
    often = told(scraping, [step / 50 for step in range(1501)], every=True)
    assert list(itertools.chain.from_iterable(often)) == once


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"interval": 0.0}, "interval"),
        ({"delay": -1.0}, "delay"),
        ({"jitter": -1.0}, "jitter"),
        ({"loss": 1.5}, "loss"),
    ],
)
def test_times_that_cannot_be_name_their_field(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Scraping(**fields)


def test_a_queue_is_told_as_of_now_or_as_of_the_batch_in_progress() -> None:
    """One sequence at a time: the second request comes before the batch in progress begins, the third during it."""
    engine = Engine(PROFILES["llama-3.1-8b-h100"], EngineConfig(1000, max_num_seqs=1))
    for name in ("a", "b"):
        engine.submit(Request(name, 500, 5), 0.0)
    assert read(engine, of_batch=True).waiting == read(engine).waiting == 2
    engine.step(0.0)
    engine.submit(Request("c", 500, 5), 0.001)
    assert read(engine).waiting == 2
    assert read(engine, of_batch=True).waiting == 1
    batch_end = engine.step(0.001).next_at
    assert batch_end is not None
    engine.step(batch_end)
    assert read(engine, of_batch=True).waiting == 2
